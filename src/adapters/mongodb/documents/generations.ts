import type { Db } from 'mongodb'

/**
 * Which generation of each projection's documents is live, for all processes. What a process knows of it is never older
 * than a second when it is used, and what takes longer than that to spread is waited for: whoever switches gives the
 * others time to write to both generations before (`joined`) and for a while after (`old`).
 */
export interface GenerationDocument {
  /** `<projection>_v<version>` */
  _id: string
  /** Made at random when the documents are begun from nothing. */
  model: string
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

export type Generations = Omit<GenerationDocument, '_id' | 'model' | 'since'>

/** Of a projection that has no documents yet. */
export const FIRST: Generations = { live: 1, next: null, joined: false, old: null, dropping: null }

export const pointersIn = (database: Db) => database.collection<GenerationDocument>('pointers')
