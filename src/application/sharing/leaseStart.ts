import { setTimeout as sleep } from 'node:timers/promises'
import { ageOf, type Instant } from '../ports/clock.ts'
import { StoreInUseError, StoreUnavailableError } from '../ports/errors.ts'
import type { Logger } from '../ports/telemetry.ts'
import type { LeaseState, LeaseStream } from './leaseStream.ts'

/** All in milliseconds. */
export interface StartTimes {
  /** Who has not answered for so long has no lease any more, and none of its appends is under way. */
  goneMs: number
  lookMs: number
  /** How long a start tries a store that does not answer. */
  patienceMs: number
}

interface Start {
  stream: LeaseStream
  shared: boolean
  /** Names the store, for messages. */
  name: string
  times: StartTimes
  now: () => Instant
  signal: AbortSignal
  log: Pick<Logger, 'info'>
}

/**
 * Takes part beside those that share the store, or alone, once it is certain that nobody is there who would mind.
 * @throws StoreInUseError whose message says what to do; StoreUnavailableError it has not answered for too long
 */
export async function join(start: Start): Promise<void> {
  while (!(await tryToJoin(start)));
}

/**
 * Does something with the store, and tries again where it does not answer.
 * @throws StoreUnavailableError it has not answered for too long
 */
async function patiently<T>(
  { times, now, signal }: Pick<Start, 'times' | 'now' | 'signal'>,
  work: () => Promise<T>,
  onLost: () => void = () => {},
): Promise<T> {
  for (const begun = now(); ; ) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof StoreUnavailableError) || ageOf(begun, now()) > times.patienceMs) throw error
      onLost()
      await sleep(times.lookMs, undefined, { signal })
    }
  }
}

/** @returns false to begin again, since somebody else has written */
async function tryToJoin(start: Start): Promise<boolean> {
  const { stream, shared, name, log } = start
  const write = (state: LeaseState['state']): Promise<boolean> => patiently(start, () => stream.write(state))
  await patiently(start, stream.read)
  const last = stream.last()
  // Whoever shares a store is not alone when one of them releases the lease.
  const isFree = last === null || (last.state === 'released' && !last.shared)
  if (isFree && stream.question() === null) return write('held')
  if (shared && last?.shared) return true
  const heard = stream.heard()
  if (!(await write('asked'))) return false
  log.info({}, 'another process may use the event store: waiting for its answer')
  if (!(await isAnswered(start, heard))) return write('held')
  const said = stream.last()
  if (isRival(stream, said, shared)) throw new StoreInUseError(name, whatToDo(said))
  return false
}

/** @returns whether anybody who is there has said anything since `heard` was said */
export async function isAnswered(
  start: Pick<Start, 'stream' | 'times' | 'now' | 'signal'>,
  heard: LeaseState | null,
): Promise<boolean> {
  const { stream, times, now, signal } = start
  for (let asked = now(); ageOf(asked, now()) < times.goneMs; ) {
    await sleep(times.lookMs, undefined, { signal })
    // Where nothing gets through, no answer does either.
    await patiently(start, stream.read, () => (asked = now()))
    if (stream.heard() !== heard) return true
  }
  return false
}

/** Does another process have the lease, which cannot go together with this one? */
export const isRival = (
  { process }: LeaseStream,
  said: LeaseState | null,
  shared: boolean,
): said is LeaseState =>
  said !== null && said.state === 'held' && said.process !== process && !(said.shared && shared)

export const whatToDo = ({ shared }: LeaseState): string =>
  shared
    ? 'other processes use it, and EVENT_STORE_SHARED=false says that none does. Stop them, or take that setting out'
    : 'another process has it for itself, with EVENT_STORE_SHARED=false. Stop that one, or take the setting out of each and start all again'
