import { openEventStoreDb } from '../../src/adapters/eventstoredb/eventStore.ts'
import { ids } from '../../src/application/eventLog/ids.ts'
import { createRecorder, type Recorder } from '../../src/application/usage/recorder.ts'
import { countingTelemetry } from '../../test/support/stores/pieces.ts'
import type { RecordedEvent } from '../../src/domain/events.ts'
import { entriesOf, FIRST_SECRET } from '../../src/domain/usageEntries.ts'
import { startStandInProcess } from '../../test/support/standIn/process.ts'
import { attack } from './lab.ts'

/** Each token takes 89 places in a buffer of 200,000: for itself, its routes, and its callers. */
const ENOUGH_TOKENS = 2_300
const USES = 50
const MORE = 500

await attack(
  'Strict audit with a full buffer, while the event store stands still',
  async ({ saw, control, bound }) => {
    const standIn = await startStandInProcess()
    const store = await openEventStoreDb(standIn.url)
    const telemetry = countingTelemetry()
    const deps = { store, clock: Date.now, ids, flushMs: 3_600_000, telemetry, strict: true }
    const recorder = createRecorder(deps)

    async function storedOf(): Promise<Map<string, number>> {
      const uses = new Map<string, number>()
      for await (const events of store.readAll(null)) {
        for (const { tokenId, count } of (events as RecordedEvent[]).flatMap(entriesOf))
          uses.set(tokenId, (uses.get(tokenId) ?? 0) + count)
      }
      return uses
    }

    try {
      await serve(recorder, 'control')
      control('a use is stored when its request is served', (await storedOf()).get('control') === 1)

      standIn.freeze()
      const uses = Array.from({ length: ENOUGH_TOKENS * USES }, (_, n) =>
        outcomeOf(recorder, `first-${Math.floor(n / USES)}`, n % USES),
      )
      for (let n = 0; n < MORE; n++) uses.push(outcomeOf(recorder, `second-${n}`))
      saw(`${recorder.pending()} entries wait`)
      // Requests that wait for a flush get the next one, which may come once the store is back.
      setTimeout(standIn.thaw, 2_000)
      const served = new Map<string, number>()
      for (const tokenId of await Promise.all(uses)) {
        if (tokenId !== null) served.set(tokenId, (served.get(tokenId) ?? 0) + 1)
      }
      const answered = [...served.values()].reduce((sum, n) => sum + n, 0)
      saw(`${answered} uses were served, ${uses.length - answered} refused`)
      await recorder.flush()
      const stored = await storedOf()
      const missing = [...served].map(([tokenId, n]) => Math.max(0, n - (stored.get(tokenId) ?? 0)))
      const sum = missing.reduce((all, n) => all + n, 0)
      bound(`every use that was served is stored: ${sum} are not`, sum === 0)
      bound(`none is declared lost: ${telemetry.lost}`, telemetry.lost === 0)
      await serve(recorder, 'after')
      bound('it serves again', (await storedOf()).get('after') === 1)
    } finally {
      standIn.thaw()
      await store.close()
      await standIn.kill()
    }
  },
)

/** @returns the token if its request was served */
function outcomeOf(recorder: Recorder, tokenId: string, n?: number): Promise<string | null> {
  return serve(recorder, tokenId, n).then(
    () => tokenId,
    () => null,
  )
}

/** @param n makes the route and the caller different */
function serve(recorder: Recorder, tokenId: string, n = 0): Promise<void> {
  const principal = { kind: 'token' as const, accountId: 'acct_1', tokenId, scopes: [] }
  const caller = { route: `/${n}`, ip: `192.0.2.${n}`, userAgent: `agent ${n}` }
  const use = { secret: FIRST_SECRET, at: Date.now(), outcome: 'accepted', method: 'GET', ...caller }
  return recorder.store({ record: { tokenId, revision: 0, principal } as never, ...use })
}
