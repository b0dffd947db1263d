import { endServices } from '../../test/support/processes/service.ts'

/** How an attack reports while it runs. */
export interface Report {
  /** Prints a line. */
  saw(text: string): void
  /**
   * The result without the attack, or with something harmless in its place. Unless it holds, the attack proves nothing.
   */
  control(text: string, holds: boolean): void
  /** A bound that the product promises. */
  bound(text: string, holds: boolean): void
}

/**
 * Runs one attack on services of its own, which are always ended. The process ends with 1 if a bound or its control did
 * not hold. Attacks send requests to addresses of loopback only, and end by themselves within a minute.
 */
export async function attack(title: string, run: (report: Report) => Promise<void>): Promise<void> {
  console.log(title)
  let failures = 0
  let bounds = 0
  const record = (kind: string) => (text: string, holds: boolean) => {
    if (kind === 'bound') bounds++
    if (!holds) failures++
    console.log(`  ${holds ? 'holds' : 'GIVES WAY'}  ${kind}: ${text}`)
  }
  try {
    await run({
      saw: (text) => console.log(`  saw    ${text}`),
      control: record('control'),
      bound: record('bound'),
    })
    if (bounds === 0) throw new Error('the attack checked no bound')
  } catch (error) {
    failures++
    console.log(`  FAILED  ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  } finally {
    await endServices()
  }
  process.exit(failures > 0 ? 1 : 0)
}
