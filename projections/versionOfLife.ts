import { lifecycleKinds } from '../src/domain/upcast.ts'

/**
 * The version of documents that tell of tokens' lives: the one that is raised by hand when they change, and after it, in
 * three digits, how many kinds of events they can tell of. A process that is older, or that was rolled back, closes the
 * tokens and leaves out the rows that it does not understand in documents of its own. One that knows more never reads
 * those: it has its own, or fills them from the log.
 */
export const versionOfLife = (written: number): number => written * 1_000 + lifecycleKinds()
