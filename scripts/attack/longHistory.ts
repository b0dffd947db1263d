import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { apiOf } from '../../test/support/callers/api.ts'
import { startLedger } from '../../test/support/processes/ledger.ts'
import { growHistory } from '../../test/support/events/longLife.ts'
import { longestTurn } from '../../test/support/suite/loop.ts'
import { ownFolder } from '../../test/support/processes/service.ts'
import { attack } from './lab.ts'

const LONG = 9_000
const MOST = 10_000
const CHANGES = 60
const HOLD_MS = 20

/**
 * A token is changed at the permitted rate for hours. What does each change cost in the end, and how long do others
 * have to wait for it, and for callers who read its history? The service runs in this process, so that its event loop
 * can be watched.
 */
await attack('a token with a long history', async ({ saw, control, bound }) => {
  const folder = await ownFolder()
  const made = await withService(async (api) => [
    (await api.create({ name: 'short' })).body.id,
    (await api.create({ name: 'long' })).body.id,
  ])
  const [short = '', long = ''] = made
  await grow(long, LONG)

  await withService(async (api) => {
    const times: [short: number[], long: number[]] = [[], []]
    for (let n = 0; n < CHANGES; n++) {
      for (const [which, id] of [short, long].entries()) {
        const started = performance.now()
        // An idle connection may end while the event loop is held. Then the request is sent once more.
        const change = () => api.patch(id, { name: `change ${n}` })
        const { status, body } = await change().catch(change)
        times[which]?.push(performance.now() - started)
        if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`)
      }
    }
    const [atFirst, late] = times.map(median) as [number, number]
    saw(`PATCH takes ${atFirst.toFixed(1)} ms at revision 1, ${late.toFixed(1)} ms at revision ${LONG}`)
    bound(
      `a change costs as much at revision ${LONG}: ${(late / atFirst).toFixed(2)} times`,
      late < 1.5 * atFirst,
    )

    const path = `/settings/api-tokens/${long}`
    const asked: [what: string, ask: () => Promise<unknown>][] = [
      ['PATCH', () => api.patch(long, { name: `again ${Math.random()}` })],
      ['?at=', () => api.call('GET', `${path}?at=${LONG - 1}`)],
      ['20 × ?at= at once', () => all(20, () => api.call('GET', `${path}?at=${LONG - 1}`))],
      ['/events', () => api.events(long)],
      ['/blast-radius', () => api.call('GET', `${path}/blast-radius`)],
    ]
    const quiet = await longestTurn(() => all(20, () => api.read(short)))
    control(
      `reading another token 20 times at once holds the loop for ${quiet.toFixed(1)} ms`,
      quiet < HOLD_MS,
    )
    for (const [what, ask] of asked) {
      const hold = await longestTurn(ask)
      bound(`${what} holds the loop for ${hold.toFixed(1)} ms`, hold < HOLD_MS)
    }
  })

  await grow(long, MOST)
  await withService(async (api) => {
    const { status, body } = await api.patch(long, { name: 'one too many' })
    const { code } = body as unknown as { code?: string }
    bound(`change ${MOST} is refused: ${status} ${code}`, status === 409 && code === 'token_history_full')
    control('another token is changed', (await api.patch(short, { name: 'x' })).status === 200)
    bound('it is revoked', (await api.revoke(long)).status === 204)
  })

  async function withService<T>(work: (api: ReturnType<typeof apiOf>) => Promise<T>): Promise<T> {
    const service = await startLedger({}, folder)
    try {
      return await work(apiOf(service.url))
    } finally {
      await service.close()
    }
  }

  async function grow(id: string, events: number): Promise<void> {
    const store = await openSqliteEventStore(`${folder}/events.db`)
    try {
      await growHistory(store, id, events)
    } finally {
      await store.close()
    }
  }
})

function all(times: number, ask: () => Promise<unknown>): Promise<unknown> {
  return Promise.all(Array.from({ length: times }, ask))
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
}
