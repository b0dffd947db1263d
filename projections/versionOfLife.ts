import { type LifecycleType, tokenEventSchemas } from '../src/domain/tokenEvents.ts'
import { lifecycleKinds } from '../src/domain/upcast.ts'

/** All types of events of a token's life. */
export const LIFE = Object.keys(tokenEventSchemas) as LifecycleType[]

/**
 * The version of documents that are made of the events of tokens' lives. It is the version that is raised by hand when
 * the documents change, followed, in three digits, by the number of kinds of such events that this process knows. So a
 * process that knows fewer kinds (an older one, or after a roll-back) has documents of its own, in which it closes
 * tokens and leaves out rows that it does not understand. A process that knows more never reads those: it fills its own
 * from the log.
 */
export const versionOfLife = (written: number): number => written * 1_000 + lifecycleKinds()
