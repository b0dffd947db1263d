import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Suite } from 'mocha'
import axe from 'axe-core'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { projectRoot } from '../project/package.ts'
import { describeWith } from '../suite/needs.ts'

const CHROMIUM = 'chromium'

/** A suite that needs a browser, Debian's Chromium. */
export const describeWithBrowser = (title: string, suite: (this: Suite) => void): void =>
  describeWith(
    CHROMIUM,
    {
      argument: '--version',
      required: process.env.REQUIRE_CHROMIUM === '1',
      remedy: 'apt-get install chromium',
    },
    title,
    suite,
  )

export const startBrowser = (): Promise<Browser> =>
  chromium.launch({ executablePath: `/usr/bin/${CHROMIUM}`, args: ['--no-sandbox'] })

export interface Visit {
  page: Page
  /** What went wrong that nobody may see: violations of the policy, errors of scripts, requests to other hosts. */
  faults: string[]
  /** Looks for what a person with a disability would stumble over. @returns what axe finds */
  stumbles(): Promise<string[]>
  /** Writes a picture of the state, for whoever changes the page. */
  picture(name: string): Promise<void>
  close(): Promise<void>
}

/** Pictures of all states of the page. The folder is ignored by git. */
const PICTURES = join(projectRoot, '.cache/page')

/** A browser of its own, without cookies. @param url of the service, whose host alone may be asked */
export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<Visit> {
  const context = await browser.newContext({
    viewport: { width: 1200, height: 800 },
    locale: 'en-GB',
    ...options,
  })
  const page = await context.newPage()
  page.setDefaultTimeout(15_000)
  const faults: string[] = []
  page.on('pageerror', (error) => void faults.push(`error: ${error.message}`))
  page.on('console', (message) => {
    if (/Content Security Policy|TrustedHTML|MIME type/.test(message.text())) faults.push(message.text())
  })
  page.on('request', (request) => {
    const asked = new URL(request.url())
    if (asked.protocol !== 'data:' && asked.origin !== new URL(url).origin)
      faults.push(`asks ${asked.origin}`)
  })
  return {
    page,
    faults,
    async stumbles() {
      await page.evaluate(axe.source)
      const { violations } = (await page.evaluate('axe.run()')) as axe.AxeResults
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
    },
    async picture(name) {
      mkdirSync(PICTURES, { recursive: true })
      await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true })
    },
    close: () => context.close(),
  }
}
