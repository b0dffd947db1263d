import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Suite } from 'mocha'
import { MongoClient } from 'mongodb'
import { eventually } from '../suite/eventually.ts'
import { describeWith, PATH } from '../suite/needs.ts'
import { projectRoot } from '../project/package.ts'
import { freePort } from '../processes/ports.ts'

const cached = join(projectRoot, '.cache/mongod/6.0.5/mongod')
const running = process.env.TEST_MONGODB_URL
const program = process.env.MONGOD ?? (existsSync(cached) ? cached : 'mongod')

/**
 * A suite with MongoDB servers of its own. The program is found by `MONGOD`, in the cache that `scripts/mongod.sh`
 * fills, or in PATH.
 */
export const describeWithMongod = (title: string, suite: (this: Suite) => void): void =>
  describeWith(
    program,
    {
      argument: '--version',
      required: process.env.REQUIRE_MONGOD === '1',
      remedy: 'scripts/mongod.sh gets one, MONGOD=<path> names one',
    },
    title,
    suite,
  )

/** A suite that any server will do for, even one that is running, which `TEST_MONGODB_URL` names. */
export const describeOnMongo = (title: string, suite: (this: Suite) => void): void =>
  running ? void describe(title, suite) : describeWithMongod(title, suite)

export interface MongoServer {
  /** Connection string of one database. */
  url(database: string): string
  /**
   * Ends the server and removes its data. On a server that was running before, removes the databases that were used.
   */
  stop(): Promise<void>
}

export interface Mongod extends MongoServer {
  port: number
  /** SIGKILL. */
  kill(): Promise<void>
  /** After `kill`: the same port, the same data. */
  restart(): Promise<void>
  freeze(): Promise<void>
  thaw(): void
}

interface Options {
  /** The name of the replica set that it is a member of. Default: it is standalone. */
  set?: string
  /** Make it the only member of its set, and wait until it is the primary? Default: yes, if there is a set. */
  initiate?: boolean
  /** The folder that holds the folder of its data. Default: that of the system for temporary files. */
  disk?: string
  /** More arguments for the program, and what the addresses of its clients end in for that. */
  more?: { flags: readonly string[]; query: string }
}

/** The server of a suite that any server will do for. */
export async function someMongo(options: Options = {}): Promise<MongoServer> {
  if (!running) return startMongod(options)
  const used = new Set<string>()
  return {
    url(database) {
      used.add(database)
      return running.replace(/^([^/]*\/\/[^/?]+)[^?]*/, `$1/${database}`)
    },
    async stop() {
      const client = new MongoClient(running)
      for (const database of used) await client.db(database).dropDatabase()
      await client.close()
    },
  }
}

export async function startMongod({
  set,
  initiate = set !== undefined,
  disk = tmpdir(),
  more = { flags: [], query: '' },
}: Options = {}): Promise<Mongod> {
  const folder = mkdtempSync(join(disk, 'tokenledger-mongod-'))
  const port = await freePort()
  let child = await launch()

  async function launch(): Promise<ChildProcess> {
    const started = spawn(
      program,
      [...flags(folder, port), ...(set ? ['--replSet', set] : []), ...more.flags],
      {
        env: { PATH },
        stdio: 'ignore',
      },
    )
    const ended = once(started, 'exit').then(() => {
      throw new Error(`mongod has ended: ${readFileSync(join(folder, 'log'), 'utf8').slice(-2_000)}`)
    })
    const answered = eventually(() =>
      onServer(port, (client) => client.db('admin').command({ ping: 1 }), more.query),
    )
    try {
      await Promise.race([answered, ended])
    } catch (error) {
      started.kill('SIGKILL')
      throw error
    }
    ended.catch(() => {})
    return started
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    await once(child, 'exit')
  }

  if (set && initiate) await initiateSet(set, [port])

  return {
    port,
    url: (database) =>
      `mongodb://127.0.0.1:${port}/${database}${set ? `?replicaSet=${set}` : '?directConnection=true'}`,
    kill: () => end('SIGKILL'),
    async restart() {
      child = await launch()
      if (set) await primaryAt([port])
    },
    async freeze() {
      child.kill('SIGSTOP')
      // Its threads stop one by one.
      await sleep(50)
    },
    thaw: () => void child.kill('SIGCONT'),
    async stop() {
      await end('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/**
 * Makes a replica set of servers that were started with one set name, and waits for its primary. @returns the port of
 * the primary
 */
export async function initiateSet(set: string, ports: readonly number[]): Promise<number> {
  const members = ports.map((port, _id) => ({ _id, host: `127.0.0.1:${port}` }))
  const config = {
    _id: set,
    members,
    settings: { electionTimeoutMillis: 10_000, heartbeatIntervalMillis: 500 },
  }
  const [first = 0] = ports
  await onServer(first, (client) => client.db('admin').command({ replSetInitiate: config }))
  // By itself, the first election would wait as long as one after a failure.
  if (ports.length > 1) {
    await eventually(() => onServer(first, (client) => client.db('admin').command({ replSetStepUp: 1 })))
  }
  return primaryAt(ports)
}

function primaryAt(ports: readonly number[]): Promise<number> {
  return eventually(async () => {
    for (const port of ports) {
      const hello = await onServer(port, (client) => client.db('admin').command({ hello: 1 }))
      if (hello.isWritablePrimary) return port
    }
    throw new Error('the replica set has no primary')
  })
}

async function onServer<T>(port: number, work: (client: MongoClient) => Promise<T>, query = ''): Promise<T> {
  const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true${query}`, {
    serverSelectionTimeoutMS: 5_000,
  })
  try {
    return await work(client)
  } finally {
    await client.close()
  }
}

const flags = (folder: string, port: number): string[] =>
  [
    ['--dbpath', folder],
    ['--logpath', join(folder, 'log')],
    ['--port', String(port)],
    ['--bind_ip', '127.0.0.1'],
    ['--nounixsocket'],
    ['--wiredTigerCacheSizeGB', '0.25'],
    ['--setParameter', 'diagnosticDataCollectionEnabled=false'],
  ].flat()
