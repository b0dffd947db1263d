import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { projections } from '../../projections/index.ts'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/readModel.ts'
import { ids } from '../../src/application/eventLog/ids.ts'
import { createManage } from '../../src/application/tokens/manage.ts'
import type { Telemetry } from '../../src/application/ports/telemetry.ts'
import { createProjector } from '../../src/application/projection/projector.ts'
import { parsePeppers } from '../../src/domain/credential.ts'

export const JWT_SECRET = 'a secret of the benchmark: at least 32 bytes'
export const TOKEN_PEPPERS = `k1:${Buffer.alloc(32, 1).toString('base64')}`

const log = { debug() {}, info() {}, warn() {}, error() {} }
export const telemetry: Telemetry = {
  log,
  authenticated() {},
  appended() {},
  projected() {},
  usageLost() {},
  damaged() {},
}

const AT_ONCE = 500

/** Fills the stores in `folder` with tokens, by the product's own use cases. @returns the credentials */
export async function seedTokens(folder: string, count: number): Promise<string[]> {
  const store = await openSqliteEventStore(`${folder}/events.db`)
  const readModel = await openSqliteReadModel(`${folder}/read-model.db`)
  const projector = createProjector({
    store,
    readModel,
    projections,
    telemetry,
    id: 'bench',
    onChanged: () => {},
  })
  await projector.start()
  const [pepper] = parsePeppers(TOKEN_PEPPERS)
  if (!pepper) throw new Error('no pepper')
  const manage = createManage({
    store,
    readModel,
    project: projector.apply,
    close: projector.close,
    limit: { within: (_, __, create) => create() },
    clock: Date.now,
    ids,
    randomBytes,
    prefix: 'tkl',
    pepper,
    maxLifetimeDays: null,
    telemetry,
  })
  const context = {
    actor: { kind: 'system' as const, id: 'bench' },
    requestId: 'bench',
    correlationId: 'bench',
    ip: null,
    userAgent: null,
  }
  const tokens: string[] = []
  while (tokens.length < count) {
    const batch = Array.from({ length: Math.min(AT_ONCE, count - tokens.length) }, (_, i) =>
      manage.create(
        context,
        `acct_${(tokens.length + i) % 1000}`,
        { name: `token ${tokens.length + i}` },
        null,
      ),
    )
    for (const { secret } of await Promise.all(batch)) if (secret) tokens.push(secret)
  }
  // The follower is behind the creations, and a start that has to catch up tells nothing of a start.
  while (projector.lag() > 0) await sleep(50)
  await projector.stop()
  await Promise.all([store.close(), readModel.close()])
  return tokens
}
