import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Browser, BrowserContextOptions } from 'playwright-core'
import type { TokenLedgerOptions } from '../../../src/settings/options.ts'
import { type Api, bearer, callerOf, TOKENS, tokenHeader } from '../callers/caller.ts'
import { linkFor } from '../callers/portal.ts'
import { startBrowser, visit, type Visit } from './browser.ts'
import { jwtFor, startLedger, type TestService } from './ledger.ts'

export interface PageVisits {
  service(): TestService
  browser(): Browser
  /** An account that no other test has. */
  ownAccount(): string
  /** The API, as the account's owner. */
  owner(account: string): Api
  /** Uses a token so many times. */
  use(token: string, times: number): Promise<void>
  /** Comes to the page by a link. @param body of the request for the link, @param claims of its JWT */
  open(account: string, options?: BrowserContextOptions, body?: object, claims?: object): Promise<Visit>
  /** Comes to the page without any link. */
  come(options?: BrowserContextOptions): Promise<Visit>
}

/**
 * For a suite that looks at the page: a service and a browser. No test may leave a fault that nobody may see.
 * @param fill puts something into the folder of the stores beforehand
 */
export function pageVisits(
  options: TokenLedgerOptions = {},
  fill: (folder: string) => Promise<void> = async () => {},
): PageVisits {
  let folder: string
  let service: TestService
  let browser: Browser
  let visits: Visit[] = []
  let accounts = 0
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tokenledger-'))
    await fill(folder)
    const settings = {
      publicUrl: 'http://127.0.0.1',
      portalReturnUrls: 'https://app.example.com/settings',
      maxTokensPerAccount: 1_000,
      scopes: [
        { name: 'orders:read', description: 'See orders and who placed them' },
        { name: 'orders:write' },
      ],
      ...options,
    }
    service = await startLedger(settings, folder)
    browser = await startBrowser()
  })
  after(async () => {
    await browser.close()
    await service.close()
    await rm(folder, { recursive: true, force: true })
  })
  afterEach(async () => {
    const faults = visits.flatMap((one) => one.faults)
    for (const one of visits) await one.close()
    visits = []
    expect(faults, 'policy, scripts, other hosts').to.deep.equal([])
  })

  async function come(how: BrowserContextOptions = {}): Promise<Visit> {
    const one = await visit(browser, service.url, how)
    visits.push(one)
    return one
  }

  return {
    service: () => service,
    browser: () => browser,
    ownAccount: () => `acct_page_${++accounts}`,
    owner: (account) => callerOf(service.url, bearer(jwtFor(account))),
    async use(token, times) {
      for (let i = 0; i < times; i++) await callerOf(service.url, tokenHeader(token)).get(`${TOKENS}/self`)
    },
    come,
    async open(account, how = {}, body = {}, claims = {}) {
      const one = await come(how)
      await one.page.goto(await linkFor(service.url, account, body, claims))
      await one.page.getByRole('heading', { level: 1 }).waitFor()
      return one
    },
  }
}
