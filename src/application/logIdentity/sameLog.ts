import type { Checkpoint, Place, Checkpoints } from '../ports/checkpoints.ts'
import { isKept, placeOf } from '../readModel/checkpoints.ts'
import type { EventStore } from '../ports/eventStore.ts'
import { StoreUnavailableError } from '../ports/errors.ts'
import { isOfProduct } from '../eventLog/productEvents.ts'

type Log = Pick<EventStore, 'at' | 'head' | 'readAll'>

/** How a checkpoint relates to a log. `ahead`: the log ends before it. `other`: the log has something else there. */
export type Kinship = 'same' | 'ahead' | 'other'

/** The read model does not belong to this event store. Trying again does not help: a person has to decide. */
export class ForeignLogError extends StoreUnavailableError {
  override name = 'ForeignLogError'
}

/**
 * Is the event of a checkpoint in this log? Retention may have taken it since. Then the log must have the last event up
 * to there that retention never takes (`kept`), and no other such event between that one and the checkpoint.
 * @throws StoreUnavailableError
 */
export async function compareWithLog(log: Log, checkpoint: Checkpoint): Promise<Kinship> {
  const found = await look(log, checkpoint)
  if (found === 'there') return 'same'
  if (found === 'another') return 'other'
  const head = await log.head()
  if (head !== null && head.length !== checkpoint.position.length) return 'other'
  if (head === null || head < checkpoint.position) return 'ahead'
  const { kept } = checkpoint
  if (kept) {
    const last = await look(log, kept)
    if (last === 'another' || last === 'nothing') return 'other'
  }
  // A damaged event proves nothing, and is reported elsewhere.
  if (found === 'unreadable') return 'same'
  for await (const events of log.readAll(kept?.position ?? null)) {
    for (const event of events) {
      if (event.position > checkpoint.position) return 'same'
      if (isOfProduct(event) && isKept(event)) return 'other'
    }
  }
  return 'same'
}

type EventAtPlace = 'there' | 'another' | 'nothing' | 'unreadable'

async function look(log: Log, { position, id, link }: Place): Promise<EventAtPlace> {
  const event = await log.at(position)
  if (event === null) return 'nothing'
  if (event === 'never') return 'another'
  if (event.metadata === null && link !== '') return 'unreadable'
  const place = placeOf(event)
  return place.id === id && place.link === link ? 'there' : 'another'
}

const REASONS = {
  ahead: 'The read model is ahead of the event store: the log was reset, or an older one was restored.',
  other: 'The read model was filled from another event store, or from another branch of this one.',
} as const

/** How some checkpoints relate to a log: the first answer that is not `same`. @throws StoreUnavailableError */
export async function kinshipOf(log: Log, checkpoints: Iterable<Checkpoint | null>): Promise<Kinship> {
  const known = new Map([...checkpoints].flatMap((at) => (at ? [[`${at.position} ${at.id}`, at]] : [])))
  for (const checkpoint of known.values()) {
    const kinship = await compareWithLog(log, checkpoint)
    if (kinship !== 'same') return kinship
  }
  return 'same'
}

/** @throws ForeignLogError whose message says what to do; StoreUnavailableError */
export async function assertSameLog(log: Log, checkpoints: Checkpoints, remedy: string): Promise<void> {
  const kinship = await kinshipOf(log, checkpoints.values())
  if (kinship !== 'same') throw new ForeignLogError(`${REASONS[kinship]} ${whatToDo(remedy)}`)
}

export const whatToDo = (remedy: string): string =>
  `Bring the right one back, or, after a move, set READ_MODEL_URL to a new read model. To go on from the events that there are, stop every service, delete the read model (${remedy}), and start again: it is filled from them.`

/** Has somebody whose checkpoint is `from` seen all of the product's events up to the position `end`? */
export async function hasReached(log: Log, from: Place | null, end: string | null): Promise<boolean> {
  if (end === null || (from !== null && from.position >= end)) return true
  for await (const events of log.readAll(from?.position ?? null)) {
    for (const event of events) {
      if (event.position > end) return true
      if (isOfProduct(event)) return false
    }
  }
  return true
}

/** A function that says whether checkpoints belong to this log. It throws StoreUnavailableError. */
export const isOf =
  (log: Log) =>
  async (checkpoints: Checkpoints): Promise<boolean> =>
    (await kinshipOf(log, checkpoints.values())) === 'same'
