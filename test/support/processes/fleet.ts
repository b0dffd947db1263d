import { type Api, apiOf } from '../callers/api.ts'
import { eventually } from '../suite/eventually.ts'
import { type Mongod, startMongod } from '../stores/mongod.ts'
import { type Environment, endServices, type ServiceProcess, startService } from './service.ts'
import { type StandInProcess, startStandInProcess } from '../standIn/process.ts'
import type { VersionName } from '../standIn/version.ts'
import { startProxy, type TcpProxy } from './tcpProxy.ts'

/** Service processes that share an event store and a read model, as behind a load balancer. */
export interface Fleet {
  members: Member[]
  eventStore: StandInProcess
  mongod: Mongod
  /** Settings that lead to the same stores directly. */
  stores: { EVENT_STORE_URL: string; READ_MODEL_URL: string }
  /** Starts one more member, ready to serve. */
  add(options?: MemberOptions): Promise<Member>
  close(): Promise<void>
}

export interface Member {
  service: ServiceProcess
  api: Api
  /** The proxies between it and each store. */
  toEvents: TcpProxy
  toModel: TcpProxy
}

export interface MemberOptions {
  env?: Environment
  /** The command of another program that runs in place of the service. */
  command?: readonly string[]
}

interface FleetOptions extends MemberOptions {
  /** Which version the stand-in behaves like. */
  behave?: VersionName
}

const SET = 'rs0'
let databases = 0

/** Real processes on a stand-in for EventStoreDB, and on a MongoDB replica set of one. */
export async function startFleet(size: number, options: FleetOptions = {}): Promise<Fleet> {
  const [eventStore, mongod] = await Promise.all([startStandInProcess(options), startMongod({ set: SET })])
  const database = `fleet${++databases}`
  const proxies: TcpProxy[] = []

  async function add({ env = {}, command }: MemberOptions = options): Promise<Member> {
    const toEvents = await startProxy(eventStore.port)
    const toModel = await startProxy(mongod.port)
    proxies.push(toEvents, toModel)
    const environment = {
      EVENT_STORE_URL: `esdb://127.0.0.1:${toEvents.port}?tls=false`,
      // A direct connection, so that the driver does not look for members of the set without the proxy.
      READ_MODEL_URL: `mongodb://127.0.0.1:${toModel.port}/${database}?directConnection=true`,
      USAGE_FLUSH_MS: '200',
      MAX_TOKENS_PER_ACCOUNT: '100000',
      LOG_LEVEL: 'info',
      ...env,
    }
    // On a busy machine MongoDB may not answer in time, and then a start fails.
    const service = await eventually(() => startService(environment, undefined, command))
    return { service, api: apiOf(service.url), toEvents, toModel }
  }

  // The first one leads. What the others know of its changes, they have heard.
  const first = size > 0 ? [await add()] : []
  const members = [...first, ...(await Promise.all(Array.from({ length: size - first.length }, () => add())))]
  return {
    members,
    eventStore,
    mongod,
    stores: {
      EVENT_STORE_URL: `esdb://127.0.0.1:${eventStore.port}?tls=false`,
      READ_MODEL_URL: `mongodb://127.0.0.1:${mongod.port}/${database}?directConnection=true`,
    },
    add,
    async close() {
      await endServices()
      await Promise.all(proxies.map((proxy) => proxy.close()))
      await Promise.all([eventStore.kill(), mongod.stop()])
    },
  }
}

/** Waits until the process answers that it is ready. */
export const ready = ({ api }: Member): Promise<void> =>
  eventually(async () => {
    const { status, body } = await api.call('GET', '/health/ready')
    if (status !== 200) throw new Error(`${api.url} answers ${status}: ${JSON.stringify(body)}`)
  })
