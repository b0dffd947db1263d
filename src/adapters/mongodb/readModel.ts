import type { DocumentChange, Projection } from '../../../projections/projection.ts'
import { LeadershipLostError, StoreUnavailableError } from '../../application/ports/errors.ts'
import type { ReadModel } from '../../application/ports/readModel.ts'
import type { Step } from '../../application/ports/checkpoints.ts'
import type { Watch } from '../../application/ports/sharing.ts'
import { countAll, readPage } from '../../application/readModel/readStretches.ts'
import { countPlanOf, planOf } from '../../application/readModel/queryPlan.ts'
import { applyChanges, applyPiece } from './documents/apply.ts'
import { moveCheckpoint, movesOf } from './documents/checkpoints.ts'
import { present, targetsAt } from './documents/collections.ts'
import { type Connection, connect } from './database/connection.ts'
import { createKnownModel, type KnownProjection } from './documents/knownModel.ts'
import { acquireLease, releaseLease } from './sharing/leases.ts'
import { makeModel } from './documents/makeModel.ts'
import { storedName } from './documents/names.ts'
import { beginNext, retire, SPREAD_MS } from './rebuild/nextGeneration.ts'
import { countStretch, findAny, readStretch, type Source } from './documents/query.ts'
import { openReservations, queue, release, reserve } from './sharing/reservations.ts'
import { arePublished, publish } from './sharing/versions.ts'
import { type Watched, watchCollection } from './sharing/watch.ts'

/**
 * Opens the read model in a MongoDB database: the one that the connection string names, else `tokenledger`. The server
 * may be a replica set, or a single server, on which no watch is ever live. Reads succeed or fail within a second,
 * writes within three.
 * @param options.readOnly neither makes nor changes anything
 * @throws StoreUnavailableError; Error for text that is no connection string
 */
export async function openMongoReadModel(url: string, options: MongoOptions = {}): Promise<ReadModel> {
  return readModel(await connect(url, options.called), options)
}

const LOST = 'documents of the read model were dropped, emptied or replaced by older ones'

const isNull = (found: unknown): boolean => found === null
const isEmpty = (found: readonly unknown[]): boolean => found.length === 0
const hasSeen = (
  one: readonly [Projection, KnownProjection | undefined],
): one is readonly [Projection, KnownProjection] => one[1] !== undefined

type OnChanged = (ids: ReadonlySet<string> | null) => void

interface MongoOptions {
  readOnly?: boolean
  /** Names the address in messages about what lasts. */
  called?: string
  /** How long a rebuild waits, in milliseconds, until all processes know what it is about to do; for tests. */
  spreadMs?: number
}

function readModel(
  connection: Connection,
  { readOnly = false, spreadMs = SPREAD_MS }: MongoOptions,
): ReadModel {
  const watches = new Map<Watch, OnChanged>()
  const opened: Projection[] = []
  const known = createKnownModel({
    onLeft(left) {
      if (!readOnly) connection.write((database) => retire(database, left, opened, spreadMs)).catch(() => {})
    },
    onLost: () => watches.forEach((announce) => announce(null)),
    control: connection.control,
    controlAnew: connection.controlAnew,
  })
  let targets = targetsAt(opened, known.live)

  function assertSound(): void {
    if (known.isLost()) throw new StoreUnavailableError(LOST)
  }

  const readAny: Connection['read'] = (work) =>
    connection.read(async (database) => {
      for (;;) {
        await known.ensure()
        const answer = await work(database)
        if (known.isUsable()) return answer
      }
    })

  /** @param isNothing is the answer empty? Then it is confirmed first, since the documents may have been lost */
  async function sound<T>(answering: () => Promise<T>, isNothing: (answer: T) => boolean): Promise<T> {
    assertSound()
    const answer = await answering()
    if (isNothing(answer)) await known.confirm()
    assertSound()
    return answer
  }

  function assertWritable(): void {
    connection.assertOpen()
    if (readOnly) throw new StoreUnavailableError('the read model is open for reading only')
  }

  const write: Connection['write'] = async (work) => {
    assertWritable()
    return connection.write(async (database) => {
      await known.ensure()
      return work(database)
    })
  }

  /** @throws LeadershipLostError if the live documents have not come as far as `from` */
  async function assertFollows({ from, to }: Step): Promise<void> {
    const isThere = (projection: Projection): boolean => {
      const [seen, after] = [known.seen(projection), from.get(projection) ?? null]
      return seen !== undefined && (seen.at?.position ?? '') >= (after?.position ?? '')
    }
    if (![...to.keys()].every(isThere)) await known.confirm()
    for (const projection of to.keys()) {
      if (!isThere(projection))
        throw new LeadershipLostError(`${storedName(projection)} is not as far as what this follows on`)
    }
  }

  async function applyStep(changes: readonly DocumentChange[], step: Step): Promise<void> {
    await write(async () => {})
    await assertFollows(step)
    const seen = new Map(opened.flatMap((one) => [[one, known.seen(one)] as const].filter(hasSeen)))
    const generation = (one: Projection): number => seen.get(one)?.generation ?? known.live(one)
    const moves = movesOf(step, seen)
    const marks = await applyPiece(
      write,
      targetsAt(opened, generation),
      changes,
      (one) => moves.get(one) ?? null,
    )
    for (const [one, move] of moves) {
      const moved = marks.get(one) ?? {}
      const name = storedName(one, generation(one))
      await write((database) => moveCheckpoint(database, name, { ...move, marks: moved }))
      known.moved(one, seen.get(one) as KnownProjection, move.to, moved)
    }
  }

  /** Applies changes to every generation that some process reads, or is about to read. */
  async function applyNow(changes: readonly DocumentChange[]): Promise<void> {
    assertSound()
    await write(async () => {})
    const everywhere = [applyChanges(write, targets, changes)]
    for (const one of opened) {
      for (const generation of known.alsoWritten(one)) {
        const also = targetsAt([one], () => generation)
        everywhere.push(
          applyChanges(
            write,
            also,
            changes.filter(({ collection }) => also.has(collection)),
          ),
        )
      }
    }
    await Promise.all(everywhere)
    // If others have just dropped or replaced the documents, these changes are lost: so make sure that they have not.
    await known.confirm()
    assertSound()
  }

  function sourceOf(collection: string): Source {
    const target = targets.of(collection)
    return { target, read: (work) => readAny((database) => work(targets.of(collection).in(database))) }
  }

  return {
    remedy: `mongosh "${connection.shown}" --eval 'db.dropDatabase()'`,
    loss: () => (known.isLost() ? `${LOST}: whoever leads fills it again from the events` : null),
    losses: known.losses,
    trust: known.trust,

    async open(wanted) {
      opened.push(...wanted.filter((one) => !opened.includes(one)))
      known.add(wanted)
      targets = targetsAt(opened, known.live)
      await readAny((database) => database.command({ ping: 1 }))
      if (readOnly) return
      await known.remake(async () => {
        for (const one of wanted) await makeModel(connection.write, one, known.isCondemned)
      })
      await write(openReservations)
    },

    async checkpoint(projection) {
      await known.confirm()
      return known.seen(projection)?.at ?? null
    },

    async apply(changes, step) {
      assertWritable()
      await (step ? applyStep(changes, step) : applyNow(changes))
    },

    next: (wanted) => beginNext(connection, wanted, spreadMs),
    handedOver: async () => null,

    async get(collection, id) {
      const { target, read } = sourceOf(collection)
      const found = await sound(() => read((documents) => documents.findOne({ _id: id })), isNull)
      return found && present(target, found)
    },

    async find(collection, { where, order, after = null, limit, numbers }, signal) {
      const source = sourceOf(collection)
      return sound(async () => {
        if (order === 'any') return findAny(source, where, limit, numbers)
        const plan = planOf(source.target.collection, where, order)
        return readPage(plan, { after, limit }, (stretch, atMost, turn) =>
          readStretch(source, stretch, { atMost, turn }, signal),
        )
      }, isEmpty)
    },

    async count(collection, where, limit, signal) {
      const source = sourceOf(collection)
      const plan = countPlanOf(source.target.collection, where)
      return sound(
        () => countAll(plan, limit, (stretch, atMost) => countStretch(source, stretch, atMost, signal)),
        (count) => count === 0,
      )
    },

    async ping() {
      await readAny((database) => database.command({ ping: 1 }))
    },

    acquireLease: (group, request) => write((database) => acquireLease(database, group, request)),
    releaseLease: (group, id) => write((database) => releaseLease(database, group, id)),
    reserve: (key, reservation) => write((database) => reserve(database, key, reservation)),
    queue: (key) => readAny((database) => queue(database, key)),
    release: (key, id) => write((database) => release(database, key, id)),

    async publish(wanted) {
      await write((database) => Promise.all(wanted.map((projection) => publish(database, projection))))
    },

    isPublished: (wanted) => readAny((database) => arePublished(database, wanted)),

    watch(collection, fields, onChanged, onLost) {
      const { replicaSet } = connection
      if (!replicaSet) return { isLive: () => false, async close() {} }
      targets.of(collection)
      const watched: Watched = {
        target: () => targets.of(collection),
        keep: () => void known.ensure().catch(() => {}),
        isTrusted: known.isTrusted,
      }
      const watch = watchCollection(replicaSet, watched, fields, onChanged, onLost)
      watches.set(watch, onChanged)
      return watch
    },

    async close() {
      await Promise.all([...watches.keys()].map((watch) => watch.close()))
      await connection.close()
    },
  }
}
