import type { Db } from 'mongodb'

/**
 * Which generation of each projection's documents is live, for all processes. A process never uses knowledge of this
 * that is older than a second, and whoever changes it waits until all processes know. So before a switch all processes
 * write to both generations (`joined`), and for a while after it as well (`old`).
 */
export interface GenerationDocument {
  /** `<projection>_v<version>` */
  _id: string
  /** A random id, made when the documents are begun from nothing. */
  model: string
  live: number
  /** The generation that is being filled. */
  next: number | null
  /** Have dual writes started, so that commands write to the next generation as well? */
  joined: boolean
  /** The generation that was live before. Commands still write to it, for readers who do not know of the switch yet. */
  old: number | null
  /** A generation that is neither read nor written any more, and is about to be dropped. */
  dropping: number | null
  /** When this document last changed, by the clock of the server. */
  since: Date
}

export type Generations = Omit<GenerationDocument, '_id' | 'model' | 'since'>

/** For a projection that has no documents yet. */
export const FIRST: Generations = { live: 1, next: null, joined: false, old: null, dropping: null }

export const pointersIn = (database: Db) => database.collection<GenerationDocument>('pointers')
