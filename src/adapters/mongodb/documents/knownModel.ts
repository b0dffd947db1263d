import { setTimeout as sleep } from 'node:timers/promises'
import type { Db } from 'mongodb'
import type { Projection } from '../../../../projections/projection.ts'
import { ageOf, type Instant, now } from '../../../application/ports/clock.ts'
import type { Checkpoint } from '../../../application/ports/checkpoints.ts'
import { LeadershipLostError } from '../../../application/ports/errors.ts'
import { lookAt, type Mark, type SeenCheckpoint } from './checkpoints.ts'
import type { Connection } from '../database/connection.ts'
import { FIRST, type GenerationDocument, type Generations, pointersIn } from './generations.ts'
import { storedName } from './names.ts'

/** What was last known of a projection: which of its generations is live, and how far its documents have come. */
export interface KnownProjection extends SeenCheckpoint {
  /** The id that all its generations share. */
  identity: string
  generation: number
}

/**
 * What this process knows of the read model: which generations are live, and whether the documents are still the same
 * ones and at least as far as before. It asks the server regularly, and always before older knowledge would be used. If
 * documents are missing or were replaced, the model is lost, and nothing of it is believed until `trust` is called.
 */
export interface KnownModel {
  add(projections: readonly Projection[]): void
  live(projection: Projection): number
  /** The generations that a command writes to in addition to the live one. */
  alsoWritten(projection: Projection): readonly number[]
  /** Undefined if there is no checkpoint. */
  seen(projection: Projection): KnownProjection | undefined
  /** Records that this process has moved a checkpoint. */
  moved(projection: Projection, seen: KnownProjection, to: Checkpoint, marks: Record<string, Mark>): void
  /** Asks the server again if the knowledge is too old to be used. */
  ensure(): Promise<void>
  /** Asks the server again, with a query that begins after this call. Callers at the same time share one query. */
  confirm(): Promise<void>
  /** Changes the model in a way that must not be taken for a loss, and then accepts it as it is. */
  remake(work: () => Promise<void>): Promise<void>
  /** May an answer be believed that was read with this knowledge? Not if the process was suspended meanwhile. */
  isUsable(): boolean
  /** Is the knowledge new enough to be relied on without asking the server? */
  isTrusted(): boolean
  isLost(): boolean
  losses(): number
  /** Is it the identity of a model that was lost? Whatever is left of that, something may be missing. */
  isCondemned(identity: string): boolean
  /** Believes the model again. @throws LeadershipLostError if it has been lost more often than `losses` */
  trust(losses: number): Promise<void>
}

interface Dependencies {
  /** Called with generations that are to be removed. */
  onLeft(left: GenerationDocument): void
  onLost(): void
  control: Connection['control']
  controlAnew: Connection['controlAnew']
}

const TRUSTED_MS = 1_000
/** At this age the knowledge is renewed in the background, so that nobody has to wait for it. */
const RENEWED_MS = 400
/** An answer that took longer than this is not believed. */
const USABLE_MS = 3_000
/** The least time between two queries; all calls in between share the second. */
const PACE_MS = 10

interface Look {
  pointers: GenerationDocument[]
  /** By stored name. */
  checkpoints: Map<string, SeenCheckpoint>
}

export function createKnownModel({ onLeft, onLost, control, controlAnew }: Dependencies): KnownModel {
  const projections = new Map<string, Projection>()
  let generations = new Map<string, Generations>()
  const seen = new Map<Projection, KnownProjection>()
  let checked: Instant | null = null
  let began: Instant | null = null
  let asked: Promise<void> | null = null
  let following: Promise<void> | null = null
  let [lost, losses] = [false, 0]
  const condemned = new Set<string>()

  async function look(database: Db): Promise<Look> {
    const names = [...projections.keys()]
    const pointers = await pointersIn(database)
      .find({ _id: { $in: names } })
      .toArray()
    const live = new Map(pointers.map((one) => [one._id, one.live]))
    const stored = [...projections].map(([name, one]) => storedName(one, live.get(name)))
    return { pointers, checkpoints: await lookAt(database, stored) }
  }

  function found({ pointers, checkpoints }: Look): Map<Projection, KnownProjection> {
    return new Map(
      pointers.flatMap(({ _id, model: identity, live: generation }) => {
        const projection = projections.get(_id)
        const there = projection && checkpoints.get(storedName(projection, generation))
        return there ? [[projection, { identity, generation, ...there }] as const] : []
      }),
    )
  }

  async function renew(): Promise<void> {
    const at = now()
    began = at
    const before = new Map(seen)
    let answer = await control(look)
    if (isWorse(before, found(answer))) {
      answer = await controlAnew(look)
      if (isWorse(before, found(answer))) lose()
    }
    accept(answer)
    checked = at
  }

  function lose(): void {
    lost = true
    losses++
    for (const { identity } of seen.values()) condemned.add(identity)
    seen.clear()
    onLost()
  }

  function accept(answer: Look): void {
    generations = new Map(answer.pointers.map(({ _id, ...one }) => [_id, one]))
    for (const [projection, next] of found(answer)) {
      const known = seen.get(projection)
      // This process may have moved a checkpoint since the question was asked: then its own knowledge is newer.
      const isNewer = known?.generation === next.generation && isBehind(next.at, known.at)
      if (!isNewer) seen.set(projection, next)
    }
    for (const one of answer.pointers) if (one.old !== null || one.dropping !== null) onLeft(one)
  }

  async function workAndLook(work: () => Promise<void>): Promise<void> {
    await work()
    const at = now()
    const answer = await controlAnew(look)
    seen.clear()
    accept(answer)
    checked = at
  }

  function renewOnce(): Promise<void> {
    asked ??= renew().finally(() => {
      asked = null
    })
    return asked
  }

  /** Waits until no query is under way. */
  async function settled(): Promise<void> {
    for (let one = asked; one; one = asked) await one.catch(() => {})
  }

  async function renewNext(): Promise<void> {
    const since = began === null ? PACE_MS : ageOf(began)
    if (since < PACE_MS) await sleep(PACE_MS - since)
    await settled()
    following = null
    await renewOnce()
  }

  function confirm(): Promise<void> {
    following ??= renewNext()
    return following
  }

  const age = (): number => (checked === null ? Number.POSITIVE_INFINITY : ageOf(checked))
  const of = (projection: Projection): Generations => generations.get(storedName(projection)) ?? FIRST

  return {
    add(wanted) {
      for (const projection of wanted) {
        const name = storedName(projection)
        if (projections.has(name)) continue
        projections.set(name, projection)
        checked = null
      }
    },
    live: (projection) => of(projection).live,
    alsoWritten(projection) {
      const { next, joined, old } = of(projection)
      return [joined ? next : null, old].filter((one) => one !== null)
    },
    seen: (projection) => seen.get(projection),
    moved(projection, { generation, model }, to, marks) {
      const known = seen.get(projection)
      if (known?.generation !== generation || known.model !== model) return
      const at = isBehind(known.at, to) ? to : known.at
      seen.set(projection, { ...known, at, marks: { ...known.marks, ...marks } })
    },
    async ensure() {
      while (age() > TRUSTED_MS) await renewOnce()
      if (age() > RENEWED_MS) renewOnce().catch(() => {})
    },
    confirm,
    async remake(work) {
      await settled()
      asked = workAndLook(work).finally(() => {
        asked = null
      })
      await asked
    },
    isUsable: () => age() <= USABLE_MS,
    isTrusted: () => !lost && age() <= TRUSTED_MS,
    isLost: () => lost,
    losses: () => losses,
    isCondemned: (identity) => condemned.has(identity),
    async trust(known) {
      if (!lost) return
      await confirm()
      if (losses !== known) throw new LeadershipLostError('the read model was lost again')
      lost = false
    },
  }
}

const isBehind = (one: Checkpoint | null, other: Checkpoint | null): boolean =>
  (one?.position ?? '') < (other?.position ?? '')

/**
 * Has something been lost between two looks? A later generation of the same model is no loss: a rebuild has made it,
 * and makes sure that it is complete.
 */
function isWorse(
  before: ReadonlyMap<Projection, KnownProjection>,
  after: ReadonlyMap<Projection, KnownProjection>,
): boolean {
  return [...before].some(([projection, was]) => {
    const is = after.get(projection)
    if (!is || is.identity !== was.identity || is.generation < was.generation) return true
    if (was.isSound && !is.isSound) return true
    return is.generation === was.generation && (is.model !== was.model || isBehind(is.at, was.at))
  })
}
