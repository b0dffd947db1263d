import type { Change, Projection } from '../../../projections/projection.ts'
import type { Checkpoint, Step } from './checkpoints.ts'

export interface NextGeneration {
  /** What has to be filled: the projections asked for, and others that cannot be kept apart from them. */
  projections: readonly Projection[]
  /** Was the live one in use when this was begun, as far as can be told? */
  isServed: boolean
  checkpoint(projection: Projection): Promise<Checkpoint | null>
  /** Begins from nothing: what it was filled with so far is of another log. */
  anew(): Promise<void>
  /** As `ReadModel.apply`; what is applied in order may be on its way for a while before the checkpoint moves. */
  apply(changes: readonly Change[], step: Step): Promise<void>
  /**
   * Once it is filled. After it resolves, every change that commands make is applied to this generation as well, in
   * whatever process; those made before are in the log.
   * @returns `taken`: another process brought it level and has made it the live one: there is nothing left to do
   * @throws SharedValueError: it can be called again when each value is in one document only; so does `promote`
   */
  startDualWrites(): Promise<'started' | 'promotedByService'>
  /**
   * Makes it the live one, for all readers at once in this process and within two seconds in others, who see every
   * change of a command on either side of the switch. The old one goes.
   * @returns false: the live one has come further in the log
   */
  promote(): Promise<boolean>
  /** Without a promotion it can be gone on with. */
  close(): Promise<void>
}
