import { setTimeout as sleep } from 'node:timers/promises'
import { apiOf } from '../../test/support/callers/api.ts'
import { sendMany } from '../../test/support/callers/requests.ts'
import { type Behind, type Heard, isThere, startBehind } from '../../test/support/processes/stdout.ts'
import { attack } from './lab.ts'

/** They make some 3 MB of log: more than any pipe and the service's own buffer can hold. */
const REQUESTS = 12_000
const SLOWEST_MS = 1_000
const STOP_MS = 3_000
const PATIENCE_MS = 15_000
const MOST_WAITING = 1024 * 1024 + 64 * 1024
const ALL: readonly Behind[] = [
  'a full disk',
  'a disk that fills?',
  'a pipe nobody reads',
  'a pipe whose reader is gone',
  'a socket nobody reads',
  'a terminal that is stopped?',
  'nothing',
]
/** The cases in which the log can be read after all, later. */
const HEARD: readonly Behind[] = [
  'a disk that fills?',
  'a pipe nobody reads',
  'a pipe whose reader is gone',
  'a socket nobody reads',
]

await attack('Standard output is a full disk, or nobody reads it', async ({ saw, control, bound }) => {
  const quiet = await startBehind('a file')
  const calm = await load(quiet)
  control(`with a file: ${calm.text}`, calm.isAnswered && calm.lost === 0)
  const lines = (await quiet.hear()).split('\n').length
  control(`and has all its lines (${lines})`, lines > REQUESTS)
  await end(quiet, control)

  for (const behind of ALL) {
    if (!isThere(behind)) {
      saw(`left out, not to be had here: ${behind}`)
      continue
    }
    saw(`--- ${behind}`)
    const service = await startBehind(behind)
    try {
      await checkBounds(behind, service, bound)
    } catch (error) {
      bound(`it answers: ${String(error)}`, false)
    } finally {
      await service.end()
    }
  }
})

type Bound = (text: string, holds: boolean) => void

async function checkBounds(behind: Behind, service: Heard, bound: Bound): Promise<void> {
  const { text, isAnswered, lost, waiting } = await load(service)
  bound(`everything is answered: ${text}`, isAnswered)
  bound(`waiting lines are bounded: ${waiting} bytes`, waiting <= MOST_WAITING)
  if (behind !== 'nothing') bound(`lost lines are counted: ${lost}`, lost > 0)
  if (HEARD.includes(behind)) {
    const announced = announcedIn(await service.hear())
    const { lost: counted } = await metricsOf(service.url)
    bound(`the log says how many were lost: ${announced} of ${counted}`, announced === counted)
  }
  await end(service, bound)
}

async function load({ url }: Heard) {
  const { body } = await soon(apiOf(url).create({ name: 'heard' }))
  const headers = () => ({ 'x-api-token': body.token })
  const asked = { path: '/auth/verify', amount: REQUESTS, headers, patience: 2_000 }
  const { statuses, slowest } = await soon(sendMany(url, asked))
  const answers = [...statuses].map(([status, n]) => `${n} × ${status}`).join(', ')
  const isAnswered = statuses.get(200) === REQUESTS && slowest < SLOWEST_MS
  return {
    text: `${answers}, slowest ${Math.round(slowest)} ms`,
    isAnswered,
    ...(await soon(metricsOf(url))),
  }
}

async function metricsOf(url: string): Promise<{ lost: number; waiting: number }> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const valueOf = (name: string) => Number(new RegExp(`^tokenledger_${name} (\\d+)$`, 'm').exec(text)?.[1])
  return { lost: valueOf('log_lines_lost_total'), waiting: valueOf('log_waiting_bytes') }
}

async function soon<T>(work: Promise<T>): Promise<T> {
  const late = new AbortController()
  const tooLate = sleep(PATIENCE_MS, undefined, late).then(() => {
    throw new Error('no answer')
  })
  try {
    return await Promise.race([work, tooLate])
  } finally {
    late.abort()
    tooLate.catch(() => {})
  }
}

async function end(service: Heard, bound: Bound): Promise<void> {
  const { code, ms } = await service.stop()
  bound(`SIGTERM ends it: code ${code} after ${Math.round(ms)} ms`, code === 0 && ms < STOP_MS)
}

/** How many lost lines the log announces. */
function announcedIn(log: string): number {
  return [...log.matchAll(/"lines":(\d+),"msg":"log lines lost/g)].reduce((sum, [, n]) => sum + Number(n), 0)
}
