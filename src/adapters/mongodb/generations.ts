import type { Db } from 'mongodb'
import type { Projection } from '../../../projections/projection.ts'
import { ageOf, type Instant, now } from '../../application/ports.ts'
import type { Connection } from './connection.ts'
import { storedName } from './names.ts'

/**
 * Which generation of each projection's documents is live, for all processes. What a process knows of it is never older
 * than a second when it is used, and what takes longer than that to spread is waited for: whoever switches gives the
 * others time to write to both generations before (`joined`) and for a while after (`old`).
 */
export interface GenerationDocument {
  /** `<projection>_v<version>` */
  _id: string
  live: number
  /** Being filled. */
  next: number | null
  /** Commands write to the next one, too. */
  joined: boolean
  /** Not live any more, but commands still write to it, for readers who do not know yet. */
  old: number | null
  /** Neither read nor written any more. */
  dropping: number | null
  /** By the clock of the server. */
  since: Date
}

export const pointersIn = (database: Db) => database.collection<GenerationDocument>('pointers')

export interface Generations {
  add(projections: readonly Projection[]): void
  live(projection: Projection): number
  /** Those that a command writes to beside the live one. */
  alsoWritten(projection: Projection): readonly number[]
  /** Asks again where what is known is too old to be used. */
  ensure(): Promise<void>
  /** May an answer that was got by it be believed? Not by a process that slept meanwhile. */
  isUsable(): boolean
  /** May it be relied on without asking anybody? */
  isTrusted(): boolean
}

const TRUSTED_MS = 1_000
/** At this age it is asked for anew, beside the work, so that nobody waits for it. */
const RENEWED_MS = 400
const USABLE_MS = 3_000

const FIRST = { live: 1, next: null, joined: false, old: null, dropping: null }

/** @param onLeft is told of generations that are to go */
export function createGenerations(
  control: Connection['control'],
  onLeft: (left: GenerationDocument) => void,
): Generations {
  const known = new Map<string, Omit<GenerationDocument, '_id' | 'since'>>()
  let checked: Instant | null = null
  let asked: Promise<void> | null = null

  async function renew(): Promise<void> {
    const at = now()
    const found = await control((database) =>
      pointersIn(database)
        .find({ _id: { $in: [...known.keys()] } })
        .toArray(),
    )
    for (const document of found) known.set(document._id, document)
    checked = at
    for (const document of found) {
      if (document.old !== null || document.dropping !== null) onLeft(document)
    }
  }

  function renewOnce(): Promise<void> {
    asked ??= renew().finally(() => {
      asked = null
    })
    return asked
  }

  const age = (): number => (checked === null ? Number.POSITIVE_INFINITY : ageOf(checked))
  const of = (projection: Projection) => known.get(storedName(projection)) ?? FIRST

  return {
    add(projections) {
      for (const projection of projections) {
        const name = storedName(projection)
        if (known.has(name)) continue
        known.set(name, FIRST)
        checked = null
      }
    },
    live: (projection) => of(projection).live,
    alsoWritten(projection) {
      const { next, joined, old } = of(projection)
      return [joined ? next : null, old].filter((one) => one !== null)
    },
    async ensure() {
      while (age() > TRUSTED_MS) await renewOnce()
      if (age() > RENEWED_MS) renewOnce().catch(() => {})
    },
    isUsable: () => age() <= USABLE_MS,
    isTrusted: () => age() <= TRUSTED_MS,
  }
}
