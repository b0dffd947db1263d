import { parseArgs } from 'node:util'
import { benchCreate } from './create.ts'
import { benchAppend } from './eventStore.ts'
import { benchFlood } from './flood.ts'
import { benchProjection } from './projection.ts'
import { benchQueries } from './queries.ts'
import { benchRebuild } from './rebuild.ts'
import { benchVerify } from './verify.ts'

/**
 * `npm run bench -- [verify|create|flood|projection|rebuild|append|queries] [--read-model mongodb]` measures what
 * authentication, creation, projection, a rebuild, appending, and queries over very many tokens cost. Authentication
 * and creation are compared with bare Koa in the same run; `flood` measures authentication beside a flood of bad
 * credentials. With `--read-model mongodb`, the flood and the queries run on MongoDB only, and authentication there as
 * well, compared with the usual way. It runs on Linux only, since it reads CPU time from the scheduler's counters.
 */

const { values, positionals } = parseArgs({
  options: { 'read-model': { type: 'string' } },
  allowPositionals: true,
})
const readModel = values['read-model'] === 'mongodb' ? 'mongodb' : 'sqlite'
const [wanted] = positionals
const runs = (name: string): boolean => wanted === undefined || wanted === name
const fixed = (value: number, digits = 2): string => value.toFixed(digits)

if (runs('verify')) {
  const { rows, ofJwt, mongodb, starts } = await benchVerify(readModel)
  console.log('\nCPU time of an authenticated request (log to a file, metrics and usage on)')
  console.table(
    rows.map(({ name, micros, perSecond, ofBare }) => ({
      route: name,
      'CPU µs/request': fixed(micros, 1),
      'of bare Koa': fixed(ofBare),
      'requests/s': fixed(perSecond, 0),
    })),
  )
  console.log(`/auth/verify against the route behind jsonwebtoken: ${fixed(ofJwt)}`)
  if (mongodb) {
    console.log(`CPU with MongoDB against SQLite, 100,000 tokens: ${fixed(mongodb.cpuOfSqlite)}`)
    console.log(`throughput with MongoDB against findOne and updateOne: ${fixed(mongodb.rateOfUsual, 1)}`)
  }
  for (const { name, ms } of starts) console.log(`start, ${name}: ${fixed(ms / 1000)} s`)
}

if (runs('create')) {
  const { bare, create, ofBare } = await benchCreate()
  console.log('\nCreations by 50 clients')
  console.table([
    { route: 'bare Koa, same body parsed', 'requests/s': fixed(bare, 0), 'of bare Koa': '1.00' },
    { route: 'POST /settings/api-tokens', 'requests/s': fixed(create, 0), 'of bare Koa': fixed(ofBare) },
  ])
}

if (runs('flood')) {
  const rows = await benchFlood(readModel)
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
}

if (runs('projection')) {
  const { events, perSecond, peakMiB } = await benchProjection()
  console.log(
    `\n${events} TokenUsed projected: ${fixed(perSecond, 0)} events/s, at most ${fixed(peakMiB, 0)} MiB resident`,
  )
}

if (runs('rebuild')) {
  const { alone, beside, p99Idle, p99Beside } = await benchRebuild()
  console.log(`\nA rebuild of ${alone.events} events`)
  console.table(
    [['without a service', alone] as const, ['beside one that serves', beside] as const].map(
      ([name, { seconds, events, cpuMicros, peakMiB }]) => ({
        rebuild: name,
        'events/s': fixed(events / seconds, 0),
        'CPU µs/event': fixed(cpuMicros, 1),
        'at most MiB resident': fixed(peakMiB, 0),
      }),
    ),
  )
  console.log(`/auth/verify, p99: ${fixed(p99Idle)} ms idle, ${fixed(p99Beside)} ms beside the rebuild`)
}

if (runs('append')) {
  const { server, rates, bytesPerEvent } = await benchAppend()
  console.log(`\nAppends to ${server}`)
  console.table(rates.map(({ name, perSecond }) => ({ appends: name, 'events/s': fixed(perSecond, 0) })))
  console.log(`one TokenUsed (a token's uses in one flush window of one process): ${bytesPerEvent} bytes`)
}

if (runs('queries')) {
  const asked = await benchQueries(readModel)
  console.log(`\nQueries of a million tokens on ${readModel === 'mongodb' ? 'MongoDB' : 'SQLite'}`)
  console.table(
    asked.map(({ name, requests, answer, hold }) => ({
      query: name,
      requests,
      'slowest answer, ms': fixed(answer, 0),
      'longest hold of the loop, ms': fixed(hold.clock, 1),
      'of that CPU': fixed(hold.cpu, 1),
    })),
  )
}
