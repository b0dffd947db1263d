import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { benchAddresses } from './addresses.ts'
import { benchCreate } from './create.ts'
import { benchAppend } from './eventStore.ts'
import { benchFlood } from './flood.ts'
import { benchProjection } from './projection.ts'
import { benchQueries } from './queries.ts'
import { benchRebuild } from './rebuild.ts'
import { benchSizes } from './sizes.ts'
import { benchSpread } from './spread.ts'
import { benchVerify } from './verify.ts'

const fixed = (value: number, digits = 2): string => value.toFixed(digits)

interface Asked {
  name: string | undefined
  readModel: 'sqlite' | 'mongodb'
  json: boolean
  help: boolean
}

interface Benchmark {
  summary: string
  /** Measures, and shows what it found unless that is wanted as JSON. */
  run(): Promise<unknown>
}

const benchmark = <Result>(
  summary: string,
  measure: () => Promise<Result>,
  show: (result: Result) => void,
): Benchmark => ({
  summary,
  async run() {
    const result = await measure()
    if (!asked.json) show(result)
    return result
  },
})

const asked = readArguments()
const { readModel } = asked
const benchmarks: Record<string, Benchmark> = {
  verify: benchmark(
    'CPU time of an authenticated request: the service and the library against bare Koa and jsonwebtoken',
    () => benchVerify(readModel),
    ({ rows, mongodb, starts }) => {
      console.log('\nCPU time of an authenticated request (log to a file, metrics and usage on)')
      console.table(
        rows.map(({ name, micros, perSecond, ofBare, ofJwt }) => ({
          route: name,
          'CPU µs/request': fixed(micros, 1),
          'of bare Koa': fixed(ofBare),
          'of jsonwebtoken': fixed(ofJwt),
          'requests/s': fixed(perSecond, 0),
        })),
      )
      if (mongodb) {
        console.log(`CPU with MongoDB against SQLite, 100,000 tokens: ${fixed(mongodb.cpuOfSqlite)}`)
        console.log(`throughput with MongoDB against findOne and updateOne: ${fixed(mongodb.rateOfUsual, 1)}`)
      }
      for (const { name, ms } of starts) console.log(`start, ${name}: ${fixed(ms / 1000)} s`)
    },
  ),
  spread: benchmark(
    'many tokens, each used now and then, against looking up and writing at each request',
    () => benchSpread(readModel),
    (rows) => {
      console.log('\n2,000 requests/s over 100,000 tokens, each with another token')
      console.table(
        rows.map(({ name, micros, ofBare, ofUsual }) => ({
          route: name,
          'CPU µs/request': fixed(micros, 1),
          '× bare Koa': fixed(ofBare),
          '× look up and write': fixed(ofUsual),
        })),
      )
    },
  ),
  sizes: benchmark(
    'what the service takes with 100 to 100,000 tokens, at 10 to 10,000 uses a second',
    () => benchSizes(),
    (sizes) => {
      console.log('\nStores, start and memory')
      console.table(
        sizes.map(({ tokens, eventsMiB, readModelMiB, start, residentMiB }) => ({
          tokens,
          'events MiB': fixed(eventsMiB, 1),
          'read model MiB': fixed(readModelMiB, 1),
          'start s': fixed(start),
          'resident MiB': fixed(residentMiB, 0),
        })),
      )
      console.log('Uses of ten tokens (hot), and each of another token (spread)')
      console.table(
        sizes.flatMap(({ tokens, uses }) =>
          uses.map(({ pattern, wanted, perSecond, cores, residentMiB }) => ({
            tokens,
            uses: pattern,
            'wanted/s': wanted,
            'answered/s': fixed(perSecond, 0),
            cores: fixed(cores),
            'resident MiB': fixed(residentMiB, 0),
          })),
        ),
      )
    },
  ),
  create: benchmark(
    'creations by 50 clients against a bare Koa route',
    () => benchCreate(),
    ({ bare, create, ofBare }) => {
      console.log('\nCreations by 50 clients')
      console.table([
        { route: 'bare Koa, same body parsed', 'requests/s': fixed(bare, 0), 'of bare Koa': '1.00' },
        { route: 'POST /settings/api-tokens', 'requests/s': fixed(create, 0), 'of bare Koa': fixed(ofBare) },
      ])
    },
  ),
  flood: benchmark(
    'requests with good tokens beside a flood of bad credentials',
    () => benchFlood(readModel),
    (rows) => {
      console.log(`\nUses of good tokens beside 1,500 connections that flood the service (${readModel})`)
      console.table(
        rows.map(({ name, p99, perSecond, micros, lookUps, wrong }) => ({
          flood: name,
          'p99 ms': fixed(p99, 1),
          'answers/s': fixed(perSecond, 0),
          'CPU µs/answer': fixed(micros, 0),
          'look-ups': lookUps,
          'not 200': wrong,
        })),
      )
    },
  ),
  addresses: benchmark(
    'may a token that is bound to addresses be used from one?',
    async () => benchAddresses(),
    (checks) => {
      console.log('\nAn address against those that a token may be used from')
      console.table(
        checks.map(({ name, blocks, micros }) => ({ address: name, blocks, 'CPU µs': fixed(micros) })),
      )
    },
  ),
  projection: benchmark(
    'uses projected per second',
    () => benchProjection(),
    ({ uses, perSecond, peakMiB }) => {
      console.log(
        `\n${uses} uses projected: ${fixed(perSecond, 0)} uses/s, at most ${fixed(peakMiB, 0)} MiB resident`,
      )
    },
  ),
  rebuild: benchmark(
    'a rebuild alone and beside a service',
    () => benchRebuild(),
    ({ alone, beside, p99Idle, p99Beside }) => {
      console.log(`\nA rebuild of ${alone.uses} uses`)
      console.table(
        [['without a service', alone] as const, ['beside one that serves', beside] as const].map(
          ([name, { seconds, uses, cpuMicros, peakMiB }]) => ({
            rebuild: name,
            'uses/s': fixed(uses / seconds, 0),
            'CPU µs/use': fixed(cpuMicros, 1),
            'at most MiB resident': fixed(peakMiB, 0),
          }),
        ),
      )
      console.log(`/auth/verify, p99: ${fixed(p99Idle)} ms idle, ${fixed(p99Beside)} ms beside the rebuild`)
    },
  ),
  append: benchmark(
    'appends to an EventStoreDB, or to its stand-in',
    () => benchAppend(),
    ({ server, rates, bytesPerEntry }) => {
      console.log(`\nAppends to ${server}`)
      console.table(rates.map(({ name, perSecond }) => ({ appends: name, 'events/s': fixed(perSecond, 0) })))
      console.log(`one token's uses in one flush window of one process: ${bytesPerEntry} bytes`)
    },
  ),
  queries: benchmark(
    'queries of a million tokens, and how long they hold the event loop',
    () => benchQueries(readModel),
    (rows) => {
      console.log(`\nQueries of a million tokens on ${readModel === 'mongodb' ? 'MongoDB' : 'SQLite'}`)
      console.table(
        rows.map(({ name, requests, answer, hold }) => ({
          query: name,
          requests,
          'slowest answer, ms': fixed(answer, 0),
          'longest hold of the loop, ms': fixed(hold.clock, 1),
          'of that CPU': fixed(hold.cpu, 1),
        })),
      )
    },
  ),
}

if (asked.name !== undefined && !Object.hasOwn(benchmarks, asked.name))
  wrongUse(`there is no benchmark ${asked.name}`)
if (asked.help) console.log(helpText())
else await main()

async function main(): Promise<void> {
  const [cpu] = cpus()
  const machine = {
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: `${cpus().length} × ${cpu?.model.trim() ?? 'unknown'}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    stores: { events: 'SQLite', readModel: readModel === 'mongodb' ? 'MongoDB' : 'SQLite' },
  }
  if (!asked.json) {
    const { node, platform, cpu: processor, memoryGiB, stores } = machine
    console.log(`Node ${node} on ${platform}, ${processor}, ${memoryGiB} GiB`)
    console.log(`events in ${stores.events}, read model in ${stores.readModel}`)
  }
  const results: Record<string, unknown> = {}
  for (const [name, { run }] of Object.entries(benchmarks))
    if (asked.name === undefined || asked.name === name) results[name] = await run()
  if (asked.json) console.log(JSON.stringify({ machine, results }, null, 2))
}

function helpText(): string {
  const names = Object.entries(benchmarks).map(([name, { summary }]) => `  ${name.padEnd(11)} ${summary}`)
  return `npm run bench -- [<benchmark>] [--read-model sqlite|mongodb] [--json]

Without a name, all are run:
${names.join('\n')}

With --read-model mongodb, spread, flood and queries run on MongoDB, and verify on both.
The ratios are medians over the turns of one run, in which one contender is measured after the other.
It runs on Linux only, since it reads CPU time from the scheduler's counters.`
}

/** Ends the process with 2 for arguments that are wrong. */
function readArguments(): Asked {
  try {
    const { values, positionals } = parseArgs({
      options: {
        'read-model': { type: 'string', default: 'sqlite' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
      allowPositionals: true,
    })
    const [name, ...more] = positionals
    const { 'read-model': store, json, help } = values
    if (store !== 'sqlite' && store !== 'mongodb') throw new Error('--read-model: sqlite or mongodb')
    if (more.length > 0) throw new Error('name one benchmark, or none')
    return { name, readModel: store, json, help }
  } catch (error) {
    return wrongUse(error instanceof Error ? error.message : String(error))
  }
}

function wrongUse(message: string): never {
  console.error(`${message}\nSee npm run bench -- --help`)
  process.exit(2)
}
