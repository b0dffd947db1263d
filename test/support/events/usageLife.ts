import { undescribed } from './undescribed.ts'
import { projections } from '../../../projections/index.ts'
import { ids } from '../../../src/application/eventLog/ids.ts'
import type { EventStore } from '../../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../../src/application/ports/readModel.ts'
import { createProjector } from '../../../src/application/projection/projector.ts'
import { createQueries } from '../../../src/application/analytics/queries.ts'
import { createRecorder } from '../../../src/application/usage/recorder.ts'
import { genesis, link } from '../../../src/domain/chain.ts'
import type { NewEvent } from '../../../src/domain/events.ts'
import { tokenStream } from '../../../src/domain/streams.ts'
import { countingTelemetry } from '../stores/pieces.ts'

/** Makes weeks of usage in a moment, with a clock that the test sets. */

export const FIRST_DAY = Date.parse('2026-03-01T00:00:00.000Z')
export const HOUR = 3_600_000
export const DAY = 24 * HOUR
const ACCOUNTS = ['acct_1', 'acct_2', 'acct_1'] as const
const TOKENS = ACCOUNTS.map((accountId, i) => ({
  tokenId: `00000000-0000-7000-8000-00000000000${i}`,
  accountId,
}))

export interface UsageLife {
  /** Milliseconds since 1970. Every clock shows this time. */
  now: number
  clock: () => number
  /** Uses all tokens during one day. The uses are stored as they come, the last ones after midnight. */
  live(store: EventStore, day: number): Promise<void>
  /** Uses one token some more times, at this time. */
  use(store: EventStore, at: number, uses?: number): Promise<void>
}

export function usageLife(): UsageLife {
  let seed = 1
  const random = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  const recorders = new Map<EventStore, ReturnType<typeof createRecorder>>()
  const life: UsageLife = { now: FIRST_DAY, clock: () => life.now, live, use }

  function recorderOn(store: EventStore): ReturnType<typeof createRecorder> {
    const known =
      recorders.get(store) ??
      createRecorder({ store, clock: life.clock, ids, flushMs: 1000, telemetry: countingTelemetry() })
    recorders.set(store, known)
    return known
  }

  function record(store: EventStore, token: number, at: number, routes: number): void {
    const { tokenId, accountId } = TOKENS[token] as (typeof TOKENS)[number]
    const principal = { kind: 'token' as const, accountId, tokenId, scopes: [] }
    recorderOn(store).record({
      record: { tokenId, revision: 0, principal } as never,
      secret: random(4) === 0 ? 3 : 0,
      at,
      outcome: random(5) === 0 ? '4xx' : '2xx',
      method: 'GET',
      route: `/orders/${random(routes)}`,
      ip: null,
      userAgent: null,
    })
  }

  async function live(store: EventStore, day: number): Promise<void> {
    const start = FIRST_DAY + day * DAY
    for (const hour of [0, 7, 13, 23]) {
      for (const token of TOKENS.keys()) {
        // On some days a token is not used, and on some it is used on more routes than are named.
        if ((day + token) % 7 === 0) continue
        const uses = 1 + random(day % 5 === 0 ? 45 : 6)
        for (let i = 0; i < uses; i++) record(store, token, start + hour * HOUR + random(HOUR), 80)
      }
      life.now = start + (hour + 1) * HOUR + 5_000
      await recorderOn(store).flush()
    }
  }

  async function use(store: EventStore, at: number, uses = 5): Promise<void> {
    for (let i = 0; i < uses; i++) record(store, 1, at + i, 80)
    await recorderOn(store).flush()
  }

  return life
}

/** Makes the tokens, and uses them for some days from `FIRST_DAY` on. */
export async function liveFirstDays(store: EventStore, days: number): Promise<void> {
  const life = usageLife()
  await createTokens(store, new Date(FIRST_DAY).toISOString())
  for (let day = 0; day < days; day++) await life.live(store, day)
}

/** Makes tokens that are named after their accounts. */
export async function createTokens(store: EventStore, at: string): Promise<void> {
  for (const { tokenId, accountId } of TOKENS) {
    const event = {
      id: ids.random(),
      type: 'TokenCreated',
      data: {
        tokenId,
        accountId,
        name: accountId,
        hash: ids.digest(tokenId),
        hashKeyId: 'k1',
        ...undescribed,
        hint: 'tkl_…abcd',
        scopes: [],
        expiresAt: null,
      },
      metadata: {
        at,
        actor: { kind: 'jwt', id: accountId },
        requestId: 'r',
        correlationId: 'r',
        schemaVersion: 1,
        chain: '',
      },
    } as NewEvent
    const stream = tokenStream(tokenId)
    await store.append(stream, 'no_stream', link(genesis(stream), [event]))
  }
}

/** Brings a read model up to date with the log, as a service does. @returns what was reported meanwhile */
export async function project(store: EventStore, readModel: ReadModel): Promise<string[]> {
  const telemetry = countingTelemetry()
  telemetry.damaged = (kind) => void telemetry.errors.push(`damaged: ${kind}`)
  const onChanged = (): void => {}
  const projector = createProjector({ store, readModel, projections, telemetry, id: ids.random(), onChanged })
  await projector.start()
  await projector.stop()
  return telemetry.errors
}

/** All documents, and all answers about usage, by day and by hour. */
export async function everything(readModel: ReadModel, now: number): Promise<Record<string, unknown>> {
  const queries = createQueries(readModel, () => now)
  const answers: Record<string, unknown> = {}
  for (const collection of ['tokens', 'tokenHistory', 'tokenUsage']) {
    answers[collection] = await readModel.find(collection, { where: [], limit: 100_000 })
  }
  const range = { from: new Date(FIRST_DAY).toISOString(), to: new Date(now).toISOString() }
  for (const granularity of ['day', 'hour'] as const) {
    for (const accountId of new Set(ACCOUNTS)) {
      answers[`${accountId} ${granularity}`] = await queries.usageOfAccount(accountId, {
        ...range,
        granularity,
      })
    }
    for (const { tokenId, accountId } of TOKENS) {
      const token = await queries.token(accountId, tokenId)
      answers[`${tokenId} ${granularity}`] = await queries.usageOfToken(token, { ...range, granularity })
    }
  }
  return answers
}
