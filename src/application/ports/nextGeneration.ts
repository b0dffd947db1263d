import type { DocumentChange, Projection } from '../../../projections/projection.ts'
import type { Checkpoint, Step } from './checkpoints.ts'

/** The generation of documents that a rebuild fills, beside the live one. */
export interface NextGeneration {
  /** The projections to fill: those that were asked for, and others that live in the same file. */
  projections: readonly Projection[]
  /** Was a service using the live generation when this one was begun? Where nobody can know, it is assumed. */
  isServed: boolean
  checkpoint(projection: Projection): Promise<Checkpoint | null>
  /** Empties it, since what it was filled with so far comes from another log. */
  restart(): Promise<void>
  /** As `ProjectionTarget.apply`, but applied changes may stay in memory for a while, and the checkpoint moves after that. */
  apply(changes: readonly DocumentChange[], step: Step): Promise<void>
  /**
   * To be called once it is filled. After it resolves, every change that a command makes, in whatever process, is
   * written to this generation as well; changes that were made before are in the log.
   * @returns `promotedByService`: it was handed over to the running service, which has caught up and has made it the
   *   live one, so nothing is left to do
   * @throws SharedValueError documents share a unique value; call it again when that is put right. `promote` does so,
   *   too
   */
  startDualWrites(): Promise<'started' | 'promotedByService'>
  /**
   * Makes it the live one: at once for all readers in this process, and within two seconds in other processes. Every
   * reader sees every change of a command, before and after the switch. The old generation is removed.
   * @returns false if the live one has come further in the log: catch up and call it again
   */
  promote(): Promise<boolean>
  /** If it was not promoted, the next rebuild resumes it. */
  close(): Promise<void>
}
