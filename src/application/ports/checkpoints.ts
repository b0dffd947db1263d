import type { Projection } from '../../../projections/projection.ts'

/**
 * An event and where it stands in the log. Its id and its link show whether a later reader finds the same event there.
 */
export interface Place {
  position: string
  id: string
  link: string
}

/** How far documents have come in the log: they contain every event up to this one. */
export interface Checkpoint extends Place {
  /** The last event up to here that retention never takes: this event, or one before it. Null if there is none. */
  kept: Place | null
}

/** How far each projection has come; null where it has seen no event yet. */
export type Checkpoints = ReadonlyMap<Projection, Checkpoint | null>

/** Where a piece of the log begins and ends, for each projection that it is applied to. */
export interface Step {
  /**
   * Where the piece begins. Documents that have not come this far would miss events, so it must not be applied to them.
   */
  from: Checkpoints
  /** The checkpoints once the piece has been applied. */
  to: Checkpoints
}
