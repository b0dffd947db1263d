/**
 * Shares one answer among all who ask while it is on its way, or in the turn of the event loop in which it has come.
 * Otherwise a stranger could stop everything just by asking, since an answer costs more than a question.
 */
export function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | null = null
  return () => {
    if (answer) return answer
    const asked = ask()
    answer = asked
    const forget = () => void setImmediate(() => (answer = null))
    asked.then(forget, forget)
    return asked
  }
}

const TIMEOUT_MS = 1_000

/** Is there an answer that is no error, and in time? */
export async function answers(question: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), TIMEOUT_MS).unref()
  })
  const answer = question.then(
    () => true,
    () => false,
  )
  return Promise.race([answer, late]).finally(() => clearTimeout(timer))
}
