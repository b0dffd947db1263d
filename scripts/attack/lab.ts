import { endServices } from '../../test/support/service.ts'

/** What an attack says while it runs. */
export interface Report {
  /** Prints a line. */
  saw(text: string): void
  /** The same without the attack, or with something harmless in its place: it must hold, or the attack shows nothing. */
  control(text: string, holds: boolean): void
  /** A bound that the product promises. */
  bound(text: string, holds: boolean): void
}

/**
 * Runs one attack on services of its own, which are ended whatever happens. The process ends with 1 where a bound or
 * its control did not hold. Attacks only ever ask addresses of loopback, and end by themselves within a minute.
 */
export async function attack(title: string, run: (report: Report) => Promise<void>): Promise<void> {
  console.log(title)
  let failures = 0
  let bounds = 0
  const judge = (kind: string) => (text: string, holds: boolean) => {
    if (kind === 'bound') bounds++
    if (!holds) failures++
    console.log(`  ${holds ? 'holds' : 'GIVES WAY'}  ${kind}: ${text}`)
  }
  try {
    await run({
      saw: (text) => console.log(`  saw    ${text}`),
      control: judge('control'),
      bound: judge('bound'),
    })
    if (bounds === 0) throw new Error('the attack judged nothing')
  } catch (error) {
    failures++
    console.log(`  FAILED  ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  } finally {
    await endServices()
  }
  process.exit(failures > 0 ? 1 : 0)
}
