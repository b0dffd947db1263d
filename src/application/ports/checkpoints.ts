import type { Projection } from '../../../projections/projection.ts'

/** An event and where it stands in the log. Its id and its link tell whether what stands there later is still it. */
export interface Place {
  position: string
  id: string
  link: string
}

/** How far documents have come: up to this event, none is missing from them. */
export interface Checkpoint extends Place {
  /** The last event up to there that retention never takes: itself, or one before it. Null if there is none. */
  kept: Place | null
}

/** How far each projection has come; null: nothing yet. */
export type Checkpoints = ReadonlyMap<Projection, Checkpoint | null>

/** A piece of the log, applied by whoever follows it. */
export interface Step {
  /** What the piece follows on: documents that have not come so far would miss something. */
  from: Checkpoints
  /** Where each projection stands behind it. */
  to: Checkpoints
}
