import { apiOf } from '../../test/support/callers/api.ts'
import { sendMany } from '../../test/support/callers/requests.ts'
import { startBehind } from '../../test/support/processes/stdout.ts'
import { attack } from './lab.ts'

/** How many requests of each kind are sent. */
const REQUESTS = 4_000
const MOST_BYTES = 100_000
const all = { amount: REQUESTS }
/** How many other lines there may be: those of the start and the stop, and summaries. */
const OTHERS = 20
const WELL_FORMED = 'tkl_fx1wPvbolaz8VZ6GDnW5NvJ2fWOkg7gHRomzl6OBAEA1v3gnH'

await attack('One stranger fills the log', async ({ saw, control, bound }) => {
  const service = await startBehind('a file')
  const { url } = service
  const { token } = (await apiOf(url).create({ name: 'good' })).body
  const before = (await service.hear()).length
  await sendMany(url, { path: '/auth/verify', amount: 500, headers: () => ({ 'x-api-token': token }) })
  const quiet = await service.hear()
  const lines = quiet.split('\n').filter((line) => line.includes('"kind":"token"'))
  control(`500 requests with a good token have ${lines.length} lines`, lines.length === 500)

  saw(`${quiet.length - before} bytes of log for 500 requests with a good token`)
  const kinds: Record<string, () => Parameters<typeof sendMany>[1]> = {
    'malformed tokens': () => ({
      path: '/auth/verify',
      ...all,
      headers: (n) => ({ 'x-api-token': `no-${n}` }),
    }),
    'unknown tokens': () => ({
      path: '/auth/verify',
      ...all,
      headers: () => ({ 'x-api-token': WELL_FORMED }),
    }),
    'false JWTs': () => ({
      path: '/auth/verify',
      ...all,
      headers: () => ({ authorization: 'Bearer eyJ.e30.x' }),
    }),
    'no credential': () => ({ path: '/settings/api-tokens', ...all }),
    'paths that are not there': () => ({ path: `/${'x'.repeat(8_000)}`, ...all }),
    'long headers': () => ({
      path: '/auth/verify',
      ...all,
      headers: () => ({ 'user-agent': 'x'.repeat(12_000) }),
    }),
    'methods that are not allowed': () => ({ path: '/health/live', method: 'DELETE', ...all }),
    'health checks': () => ({ path: '/health/live', ...all }),
  }
  for (const [kind, how] of Object.entries(kinds)) {
    const { statuses } = await sendMany(url, how())
    saw(`${kind}: ${[...statuses].map(([status, n]) => `${n} × ${status}`).join(', ')}`)
  }
  const { code } = await service.stop()
  const text = await service.hear()
  const log = text.split('\n').filter((line) => line !== '')
  const size = text.length - quiet.length
  bound(
    `${Object.keys(kinds).length * REQUESTS} requests of a stranger: ${size} bytes of log`,
    size < MOST_BYTES,
  )
  const longest = Math.max(...log.map((line) => line.length))
  bound(`the longest line has ${longest} characters`, longest < 12_000)

  const strangers = log.filter((line) => line.includes('"msg":"request"') && !line.includes('"kind":'))
  const summed = sumOf(log, 'requests without a credential from one address in summary')
  const counted = strangers.length + summed
  const sent = Object.keys(kinds).length * REQUESTS
  bound(`each is in a line or a sum: ${counted} of ${sent}`, counted >= sent && counted <= sent + OTHERS * 50)
  const refused = log.filter((line) => line.includes('"msg":"credential refused"')).length
  const refusals = refused + sumOf(log, 'refusals of one address in summary')
  bound(`so is why: ${refusals} of ${3 * REQUESTS}`, refusals === 3 * REQUESTS)
  bound(`it ended with ${code}`, code === 0)
})

function sumOf(log: readonly string[], message: string): number {
  return log
    .filter((line) => line.includes(`"msg":"${message}"`))
    .reduce((sum, line) => sum + (JSON.parse(line).count as number), 0)
}
