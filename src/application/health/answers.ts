/**
 * One answer for all who ask while it is on its way, or in the turn of the loop in which it came: where an answer costs
 * more than a question, a stranger could otherwise stop everything by asking.
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

/** Whether there is an answer, and in time. */
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
