import { benchCreate } from './bench/create.ts'
import { benchProjection } from './bench/projection.ts'
import { benchVerify } from './bench/verify.ts'

/**
 * `npm run bench [verify|create|projection]`: what authentication, creation and projection cost, against bare Koa in
 * the same run. Linux only, since it reads CPU time from the scheduler's counters.
 */

const wanted = process.argv[2]
const runs = (name: string): boolean => wanted === undefined || wanted === name
const fixed = (value: number, digits = 2): string => value.toFixed(digits)

if (runs('verify')) {
  const { rows, ofJwt, starts } = await benchVerify()
  console.log('\nCPU time of an authenticated request (log to a file, metrics and usage on)')
  console.table(
    rows.map(({ name, micros, ofBare }) => ({
      route: name,
      'CPU µs/request': fixed(micros, 1),
      'of bare Koa': fixed(ofBare),
    })),
  )
  console.log(`/auth/verify against the route behind jsonwebtoken: ${fixed(ofJwt)}`)
  for (const { tokens, ms } of starts) console.log(`start with ${tokens} tokens: ${fixed(ms / 1000)} s`)
}

if (runs('create')) {
  const { bare, create, ofBare } = await benchCreate()
  console.log('\nCreations by 50 clients')
  console.table([
    { route: 'bare Koa, same body parsed', 'requests/s': fixed(bare, 0), 'of bare Koa': '1.00' },
    { route: 'POST /settings/api-tokens', 'requests/s': fixed(create, 0), 'of bare Koa': fixed(ofBare) },
  ])
}

if (runs('projection')) {
  const { events, perSecond, peakMiB } = await benchProjection()
  console.log(
    `\n${events} TokenUsed projected: ${fixed(perSecond, 0)} events/s, at most ${fixed(peakMiB, 0)} MiB resident`,
  )
}
