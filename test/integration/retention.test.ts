import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { openSqliteReadModel } from '../../src/adapters/sqlite/readModel.ts'
import { ids } from '../../src/application/eventLog/ids.ts'
import { importEvents } from '../../src/application/transfer/importEvents.ts'
import type { EventStore } from '../../src/application/ports/eventStore.ts'
import type { ReadModel } from '../../src/application/ports/readModel.ts'
import { createRetention, GRACE_MS, type Retention } from '../../src/application/retention/retention.ts'
import { checkFile } from '../../src/application/transfer/check.ts'
import { ROLLUP_STREAM, USAGE_STREAM } from '../../src/domain/streams.ts'
import type { StoredEvent } from '../../src/domain/events.ts'
import { openEventStore } from '../../src/stores/open.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/stores/mongod.ts'
import { openPatiently } from '../support/stores/patient.ts'
import { countingTelemetry } from '../support/stores/pieces.ts'
import { startStandIn } from '../support/standIn/standIn.ts'
import { sweep } from '../support/suite/sweep.ts'
import { chunked, fileOf } from '../support/events/transfer.ts'
import {
  createTokens,
  DAY,
  everything,
  FIRST_DAY,
  HOUR,
  project,
  type UsageLife,
  usageLife,
} from '../support/events/usageLife.ts'

const days = sweep('days', 40, 18)
const DAYS = days.amount
const RETENTION = 7

interface Place {
  store: EventStore
  /** Does what a server does by itself from time to time. */
  clean(): void
  /** For how many days at most it keeps usage. */
  keeps: number
  close(): Promise<void>
}

type MakePlace = (life: UsageLife, folder: string) => Promise<Place>

const places: Record<string, MakePlace> = {
  async SQLite(_, folder) {
    const store = await openSqliteEventStore(join(folder, `events-${randomUUID()}.db`))
    return { store, clean() {}, keeps: RETENTION + 1, close: () => store.close() }
  },
  async 'EventStoreDB (stand-in)'(life) {
    const standIn = await startStandIn({ now: life.clock })
    const store = await openEventStore({
      eventStoreUrl: standIn.url,
      usageRetentionDays: RETENTION,
      eventStoreTimeoutMs: 10_000,
    })
    return {
      store,
      clean: () => standIn.log.scavenge(),
      keeps: RETENTION + 7 + 1,
      async close() {
        await store.close()
        await standIn.kill()
      },
    }
  },
}

async function logOf(store: EventStore): Promise<StoredEvent[]> {
  const all: StoredEvent[] = []
  for await (const batch of store.readAll(null)) all.push(...batch)
  return all
}

const ofStreams = (log: readonly StoredEvent[], prefix: string): StoredEvent[] =>
  log.filter(({ stream }) => stream.startsWith(prefix))

function retentionOn(store: EventStore, life: UsageLife): Retention & { errors: string[] } {
  const telemetry = countingTelemetry()
  const leads = (): boolean => true
  const retention = createRetention({ store, clock: life.clock, ids, telemetry, days: RETENTION, leads })
  return { ...retention, errors: telemetry.errors }
}

/** @param openReadModel gives an empty one at each call */
function keepsTotals(makePlace: MakePlace, openReadModel: (folder: string) => Promise<ReadModel>): void {
  let folder: string
  let life: UsageLife
  let place: Place
  const models: ReadModel[] = []

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tokenledger-retention-'))
    life = usageLife()
    place = await makePlace(life, folder)
    await createTokens(place.store, new Date(FIRST_DAY).toISOString())
  })

  afterEach(async () => {
    await Promise.all(models.splice(0).map((model) => model.close()))
    await place.close()
    rmSync(folder, { recursive: true, force: true })
  })

  async function newModel(): Promise<ReadModel> {
    const model = await openReadModel(folder)
    models.push(model)
    return model
  }

  async function rebuilt(store: EventStore): Promise<Record<string, unknown>> {
    const model = await newModel()
    expect(await project(store, model)).to.deep.equal([])
    return everything(model, life.now)
  }

  /**
   * Days go by: tokens are used, some uses are flushed late, days are rolled up, and events are dropped. The read model
   * is filled meanwhile.
   */
  async function allDays(): Promise<Record<string, unknown>> {
    const { store } = place
    const model = await newModel()
    const retention = retentionOn(store, life)
    for (let day = 0; day < DAYS; day++) {
      await life.live(store, day)
      if (day % 9 === 4) {
        // An outage has held these uses back for days. Their day is rolled up already.
        await life.use(store, FIRST_DAY + (day - 3) * DAY + 11 * HOUR)
      }
      life.now = FIRST_DAY + (day + 1) * DAY + GRACE_MS
      await retention.run()
      place.clean()
      if (day % 4 === 0) expect(await project(store, model)).to.deep.equal([])
    }
    expect(await project(store, model)).to.deep.equal([])
    expect([retention.overdue(), retention.errors]).to.deep.equal([0, []])
    return everything(model, life.now)
  }

  /** The same days on a store that keeps everything. */
  async function withoutRetention(): Promise<Record<string, unknown>> {
    const other = usageLife()
    const store = await openSqliteEventStore(join(folder, 'all.db'))
    await createTokens(store, new Date(FIRST_DAY).toISOString())
    for (let day = 0; day < DAYS; day++) {
      await other.live(store, day)
      if (day % 9 === 4) await other.use(store, FIRST_DAY + (day - 3) * DAY + 11 * HOUR)
    }
    const answers = await rebuilt(store)
    await store.close()
    return answers
  }

  /** The ids of a token's events are random, and so are the links, which depend on them. */
  const withoutIds = (answers: Record<string, unknown>) => ({
    ...answers,
    tokenHistory: null,
    tokens: (answers.tokens as Record<string, unknown>[]).map((token) => ({ ...token, chain: null })),
  })

  /** Another store has other positions. */
  const withoutPositions = ({ tokenHistory, ...answers }: Record<string, unknown>) => ({
    ...answers,
    tokenHistory: (tokenHistory as Record<string, unknown>[]).map((row) => ({ ...row, position: null })),
  })

  it('a read model that is filled again equals the one before, and the one of a store that drops nothing', async () => {
    const before = await allDays()
    const log = await logOf(place.store)
    const oldest = ofStreams(log, USAGE_STREAM).map(({ metadata }) => (metadata as { at: string }).at)
    const streams = new Set(ofStreams(log, USAGE_STREAM).map(({ stream }) => stream))
    expect(ofStreams(log, USAGE_STREAM).length).to.be.within(20, 500)
    if (place.keeps === RETENTION + 1) {
      expect(oldest[0]?.slice(0, 10)).to.equal(
        new Date(life.now - RETENTION * DAY).toISOString().slice(0, 10),
      )
      expect(streams.size).to.equal(RETENTION + 1)
    }
    expect(await rebuilt(place.store)).to.deep.equal(before)
    expect(withoutIds(await withoutRetention())).to.deep.equal(withoutIds(before))
  })

  it('the same after an export and an import, and the file is the same on every way', async () => {
    const before = await allDays()
    const file = await fileOf(place.store)
    await checkFile(chunked(file))
    let from = file
    for (const makeOther of Object.values(places)) {
      const other = await makeOther(life, folder)
      await importEvents(other.store, chunked(from))
      from = await fileOf(other.store)
      expect(from).to.equal(file)
      expect(withoutPositions(await rebuilt(other.store))).to.deep.equal(withoutPositions(before))
      // When it continues, nothing is rolled up a second time.
      const retention = retentionOn(other.store, life)
      await retention.run()
      expect(ofStreams(await logOf(other.store), ROLLUP_STREAM)).to.have.length(
        ofStreams(await logOf(place.store), ROLLUP_STREAM).length,
      )
      expect(retention.errors).to.deep.equal([])
      await other.close()
    }
  })
}

const openSqlite = (folder: string) => openSqliteReadModel(join(folder, `model-${randomUUID()}.db`))

for (const [name, makePlace] of Object.entries(places)) {
  describe(`Retention on ${name} and SQLite${days.note}`, () => {
    keepsTotals(makePlace, openSqlite)
  })

  describeWithMongod(`Retention on ${name} and MongoDB${days.note}`, () => {
    let server: Mongod
    before(async () => {
      server = await startMongod()
    })
    after(() => server.stop())
    keepsTotals(makePlace, () => openPatiently(server.url(`retention-${randomUUID()}`)))
  })
}
