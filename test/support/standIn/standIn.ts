import { status, Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData } from '@grpc/grpc-js'
import gossip from '@eventstore/db-client/generated/gossip_pb.js'
import gossipGrpc from '@eventstore/db-client/generated/gossip_grpc_pb.js'
import features from '@eventstore/db-client/generated/serverfeatures_pb.js'
import featuresGrpc from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js'
import type shared from '@eventstore/db-client/generated/shared_pb.js'
import streamsGrpc from '@eventstore/db-client/generated/streams_grpc_pb.js'
import { createAppend } from './append.ts'
import { createFaults, type Faults } from './faults.ts'
import { savedIn, keepIn } from './disk.ts'
import { createLog, type Log } from './log.ts'
import { failure } from './messages.ts'
import { createRead } from './read.ts'
import { DEFAULT_VERSION, type VersionName, versions } from './version.ts'

const HOST = '127.0.0.1'
/** As the real server: a call that is left open takes one of these places for ever. */
const CALLS_PER_CONNECTION = 100
/** The largest event that any version takes, and what surrounds it. */
const MAX_MESSAGE_BYTES = 17 * 1_048_576

export interface StandIn extends Faults {
  /** For `openEventStoreDb`. */
  url: string
  port: number
  log: Log
  /** Breaks all connections at once, like `kill -9`; what was acknowledged is kept. */
  kill(): Promise<void>
  /** Listens again, on the same port, after a kill. */
  restart(): Promise<void>
  /** From the next `restart` on it speaks TLS with this key and certificate (PEM); null: none. */
  identify(identity: Identity | null): void
  /** Keeps a copy of the log as it is. */
  backUp(): void
  /** Ends, puts the copy in place of the log, and listens again. */
  restore(): Promise<void>
  /** The same with the log that was there before. */
  undoRestore(): Promise<void>
}

export interface StandInOptions {
  /** 0: a free one. */
  port?: number
  /** Milliseconds since 1970: what the age of events is told by. */
  now?: () => number
  /** The version whose behaviour it has. */
  behave?: VersionName
  /** Where the log is kept. Default: in memory. `back-up` and `restore` are for a log in memory. */
  folder?: string
}

export interface Identity {
  key: Buffer
  certificate: Buffer
}

const credentialsOf = (identity: Identity | null): ServerCredentials =>
  identity
    ? ServerCredentials.createSsl(null, [{ private_key: identity.key, cert_chain: identity.certificate }])
    : ServerCredentials.createInsecure()

/**
 * A server that behaves as EventStoreDB was measured to, over the real protocol, as far as this product asks for it;
 * insecure, and misbehaving on command.
 */
export async function startStandIn({
  port = 0,
  now = Date.now,
  behave = DEFAULT_VERSION,
  folder,
}: StandInOptions = {}): Promise<StandIn> {
  const version = versions[behave]
  const log = createLog({ now, ...(folder && { saved: savedIn(folder), keep: keepIn(folder) }) })
  let [putBack, undo] = [log.backUp(), log.backUp()]
  const faults = createFaults()
  let bound = port
  let server: Server
  let identity: Identity | null = null

  async function listen(): Promise<void> {
    server = new Server({
      'grpc.max_concurrent_streams': CALLS_PER_CONNECTION,
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    })
    server.addService(streamsGrpc.StreamsService, {
      read: createRead(log, faults, version),
      append: createAppend(log, faults, version),
      batchAppend: (call: { emit(name: string, error: object): void }) => call.emit('error', notHere),
      delete: (_: unknown, answer: (error: object) => void) => answer(notHere),
      tombstone: (_: unknown, answer: (error: object) => void) => answer(notHere),
    })
    server.addService(featuresGrpc.ServerFeaturesService, { getSupportedMethods: methodsOf(version.number) })
    server.addService(gossipGrpc.GossipService, { read: gossipOf(() => bound) })
    bound = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`${HOST}:${bound}`, credentialsOf(identity), (error, found) =>
        error ? reject(error) : resolve(found),
      )
    })
  }

  await listen()
  return {
    ...faults,
    url: `esdb://${HOST}:${bound}?tls=false`,
    port: bound,
    log,
    async kill() {
      server.forceShutdown()
    },
    restart: listen,
    identify(as) {
      identity = as
    },
    backUp() {
      putBack = log.backUp()
    },
    async restore() {
      server.forceShutdown()
      undo = log.backUp()
      putBack()
      await listen()
    },
    async undoRestore() {
      server.forceShutdown()
      undo()
      await listen()
    },
  }
}

const notHere = failure(status.UNIMPLEMENTED, 'the stand-in does not know this call')

/** Like every server since 21.10 it offers the append that the adapter must not use, and here that fails. */
function methodsOf(version: string) {
  return (_: unknown, answer: sendUnaryData<features.SupportedMethods>): void => {
    const method = new features.SupportedMethod()
    method.setServiceName('event_store.client.streams.streams').setMethodName('batchappend')
    answer(null, new features.SupportedMethods().setEventStoreServerVersion(version).setMethodsList([method]))
  }
}

/** A cluster of one, for discovery. */
function gossipOf(port: () => number) {
  return (
    _: ServerUnaryCall<shared.Empty, gossip.ClusterInfo>,
    answer: sendUnaryData<gossip.ClusterInfo>,
  ) => {
    const endPoint = new gossip.EndPoint().setAddress(HOST).setPort(port())
    const member = new gossip.MemberInfo()
      .setState(gossip.MemberInfo.VNodeState.LEADER)
      .setIsAlive(true)
      .setHttpEndPoint(endPoint)
    answer(null, new gossip.ClusterInfo().setMembersList([member]))
  }
}
