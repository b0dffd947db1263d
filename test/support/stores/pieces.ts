import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { createJwtVerifier, keyFinder } from '../../../src/adapters/jwt/verifier.ts'
import { openSqliteEventStore } from '../../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../../src/adapters/sqlite/readModel.ts'
import { createAuthenticator } from '../../../src/application/authentication/authenticate.ts'
import { ids } from '../../../src/application/eventLog/ids.ts'
import { createAccountLimit } from '../../../src/application/tokens/accountLimit.ts'
import type { CommandContext } from '../../../src/application/tokens/execute.ts'
import { createManage, type Target } from '../../../src/application/tokens/manage.ts'
import type { Telemetry } from '../../../src/application/ports/telemetry.ts'
import { createProjector } from '../../../src/application/projection/projector.ts'
import { createQueries } from '../../../src/application/analytics/queries.ts'
import { createRecorder } from '../../../src/application/usage/recorder.ts'
import { createTokenIndex } from '../../../src/application/authentication/tokenIndex.ts'
import { type Pepper, parsePeppers } from '../../../src/domain/credential.ts'
import { projections } from '../../../projections/index.ts'
import { faultyReadModel, faultyStore } from './faults.ts'
import { PEPPERS, SECRET } from '../processes/ledger.ts'

const ACCOUNT = 'acct_1'

export interface Counted extends Telemetry {
  /** The number of uses that were reported as lost. */
  lost: number
  errors: string[]
}

export function countingTelemetry(): Counted {
  const counted: Counted = {
    lost: 0,
    errors: [],
    log: { debug() {}, info() {}, warn() {}, error: (_, message) => void counted.errors.push(message) },
    authenticated() {},
    appended() {},
    projected() {},
    damaged() {},
    usageLost: (count) => void (counted.lost += count),
  }
  return counted
}

export const context = (): CommandContext => ({
  actor: { kind: 'jwt', id: ACCOUNT },
  requestId: ids.random(),
  correlationId: ids.random(),
  ip: null,
  userAgent: null,
})

export type Pieces = Awaited<ReturnType<typeof assemblePieces>>

/** The use cases on real stores that fail on demand, connected as `createTokenLedger` does it. */
export async function assemblePieces(folder: string, flushMs = 20) {
  const events = faultyStore(await openSqliteEventStore(join(folder, 'events.db')))
  const model = faultyReadModel(await openSqliteReadModel(join(folder, 'read-model.db')))
  const { store } = events
  const { readModel } = model
  const telemetry = countingTelemetry()
  const peppers = parsePeppers(PEPPERS)
  const index = createTokenIndex(readModel, peppers, 1000)
  const projector = createProjector({
    store,
    readModel,
    projections,
    telemetry,
    id: ids.random(),
    onChanged: index.evict,
  })
  await projector.start()
  index.start()
  const recorder = createRecorder({ store, clock: Date.now, ids, flushMs, telemetry })
  recorder.start()
  const authenticator = createAuthenticator({
    index,
    jwt: createJwtVerifier({}, keyFinder({ secret: SECRET })),
    resolveAccount: undefined,
    clock: Date.now,
    prefix: 'tkl',
    operatorScope: null,
    telemetry,
  })
  const manage = createManage({
    store,
    readModel,
    project: projector.apply,
    close: projector.close,
    limit: createAccountLimit(readModel, Date.now, 1000),
    clock: Date.now,
    ids,
    randomBytes,
    prefix: 'tkl',
    pepper: peppers[0] as Pepper,
    maxLifetimeDays: null,
    telemetry,
  })
  const queries = createQueries(readModel, Date.now)

  return {
    events,
    model,
    telemetry,
    projector,
    recorder,
    manage,
    queries,

    /** A new token: its id and the credential. */
    async create(name: string): Promise<{ id: string; secret: string }> {
      const { token, secret } = await manage.create(context(), ACCOUNT, { name }, null)
      return { id: token.tokenId, secret: secret ?? '' }
    },

    /** Authenticates, and counts the use if it is accepted. @returns why it was refused, or `accepted` */
    async use(secret: string): Promise<string> {
      const decision = await authenticator.authenticate({ kind: 'token', value: secret }, { ip: null })
      if ('refused' in decision) return decision.refused
      if (!decision.record) throw new Error('not a token')
      const caller = { ip: null, userAgent: null }
      const use = { secret: 0, at: Date.now(), outcome: '2xx', method: 'GET', route: '/', ...caller }
      recorder.record({ record: decision.record, ...use })
      return 'accepted'
    },

    async uses(id: string): Promise<number> {
      const token = await queries.token(ACCOUNT, id)
      const range = {
        from: '2020-01-01T00:00:00.000Z',
        to: '2100-01-01T00:00:00.000Z',
        granularity: 'day' as const,
      }
      return (await queries.usageOfToken(token, range)).total.requests
    },

    async close(): Promise<void> {
      events.down = false
      model.down = false
      await recorder.stop()
      await projector.stop()
      await Promise.all([store.close(), readModel.close()])
    },
  }
}

/** A token that the read model does not show, so its whole stream is read. */
/** From now on counts how many events of streams are read: in `events`, which may be set back to 0. */
export function countReads({ events: { store } }: Pieces): { events: number } {
  const read = { events: 0 }
  const { readStream } = store
  store.readStream = async (...args) => {
    const page = await readStream(...args)
    read.events += page.length
    return page
  }
  return read
}

export const target = (tokenId: string): Target => ({ tokenId, seen: null, ifMatch: () => true })
