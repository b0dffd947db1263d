import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { expect } from 'chai'
import type { Page } from 'playwright-core'
import { openSqliteEventStore } from '../../src/adapters/sqlite/eventStore.ts'
import { tokenStream } from '../../src/domain/streams.ts'
import { english } from '../../src/page/texts.ts'
import { createToken } from '../support/callers/caller.ts'
import { linkFor } from '../support/callers/portal.ts'
import { describeWithBrowser, type Visit } from '../support/processes/browser.ts'
import { createWriter, movableEvent } from '../support/events/movable.ts'
import { jwtFor } from '../support/processes/ledger.ts'
import { pageVisits } from '../support/processes/pageVisits.ts'

const DAY_MS = 86_400_000
const inDays = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString()

const isWiderThanWindow = (page: Page) => page.evaluate('document.documentElement.scrollWidth > innerWidth')

/** Is all of the secret seen, and what the dialog is left by? */
const isWholeSecret = (page: Page) =>
  page.evaluate(`(() => {
    const secret = document.querySelector('#secret')
    return secret.scrollWidth <= secret.clientWidth && secret.scrollHeight <= secret.clientHeight
  })()`)
const coveredActions = (page: Page): Promise<string[]> =>
  page.evaluate(`[...document.querySelectorAll('dialog .actions button')]
    .filter((one) => {
      const { left, top, width, height } = one.getBoundingClientRect()
      return document.elementFromPoint(left + width / 2, top + height - 2) !== one
    })
    .map((one) => one.textContent.trim())`)

/** What is cut off: elements whose content is wider than they are, but for those that may be scrolled. */
const cutOff = (page: Page): Promise<string[]> =>
  page.evaluate(`[...document.querySelectorAll('button, a, th, td, label, h1, h2, h3, p, .state, legend')]
    .filter((one) => one.offsetParent && !one.closest('.hidden, .skip, .scroll') && one.scrollWidth > one.clientWidth + 1)
    .filter((one) => getComputedStyle(one).display !== 'inline')
    .map((one) => one.tagName + ' ' + one.textContent.trim().slice(0, 40))`)

describeWithBrowser('The look of the page', function () {
  this.timeout(180_000)
  const { service, open, come, owner, ownAccount, use } = pageVisits()

  async function isWhole({ page, stumbles, picture }: Visit, name: string): Promise<void> {
    expect(await isWiderThanWindow(page), `${name} is wider than the window`).to.equal(false)
    expect(await cutOff(page), name).to.deep.equal([])
    expect(await stumbles(), name).to.deep.equal([])
    await picture(name)
  }

  /** As long again, as in languages that need more room. What stands in braces stays as it is. */
  const longer = (text: string): string =>
    `${text} ${text.replaceAll(/\{\w+\}/g, '').slice(0, Math.ceil(text.length / 2))}`.trimEnd()

  for (const [look, options, areLong] of [
    ['texts half as long again', {}, true],
    ['texts half as long again at 320 px', { viewport: { width: 320, height: 640 } }, true],
    ['zoomed to 200 %', { viewport: { width: 600, height: 400 }, deviceScaleFactor: 2 }, false],
  ] as const) {
    it(`is whole with ${look}`, async () => {
      const account = ownAccount()
      const made = await createToken(owner(account), {
        name: 'Nightly export',
        description: 'Runs in the cluster',
        scopes: ['orders:read'],
        expires_at: inDays(3),
      })
      await createToken(owner(account), { name: 'Grafana' })
      await use(made.token, 2)
      const visited = await come(options)
      const { page } = visited
      if (areLong) {
        const texts = Object.fromEntries(Object.entries(english).map(([name, text]) => [name, longer(text)]))
        await page.route('**/config.json', async (route) => {
          const answer = await route.fetch()
          return route.fulfill({ response: answer, json: { ...((await answer.json()) as object), texts } })
        })
      }
      await page.goto(await linkFor(service().url, account))
      const link = page.getByRole('link', { name: 'Nightly export' })
      await link.waitFor()
      await isWhole(visited, `list with ${look}`)
      await page.locator('.heading button.primary').click()
      await isWhole(visited, `create with ${look}`)
      await page.keyboard.press('Escape')
      await link.click()
      await page.locator('.timeline li').first().waitFor()
      await page.waitForLoadState('networkidle')
      await isWhole(visited, `details with ${look}`)
      await page.locator('.buttons button').nth(1).click()
      await isWhole(visited, `rotate with ${look}`)
      await page.keyboard.press('Escape')
      await page.locator('.buttons button').nth(2).click()
      await isWhole(visited, `revoke with ${look}`)
    })
  }

  for (const [look, viewport] of Object.entries({
    'wide and low': { width: 1200, height: 600 },
    '320 px wide': { width: 320, height: 640 },
  })) {
    it(`shows all of a secret, and the buttons of a dialog without scrolling, where it is ${look}`, async () => {
      const account = ownAccount()
      await createToken(owner(account), { name: 'there' })
      const visited = await open(account, { viewport })
      const { page } = visited
      await page.getByRole('button', { name: 'New token' }).click()
      expect(await coveredActions(page), 'new').to.deep.equal([])
      await page.getByLabel('Name', { exact: true }).fill('x')
      // What has the focus is not below the buttons.
      const addresses = page.getByLabel(/^Allowed addresses/)
      await addresses.focus()
      expect(
        await page.evaluate(
          "document.activeElement.getBoundingClientRect().bottom <= document.querySelector('dialog .actions').getBoundingClientRect().top",
        ),
      ).to.equal(true)
      await page.getByRole('button', { name: 'Create token' }).click()
      await page.getByLabel('Secret', { exact: true }).waitFor()
      expect(await isWholeSecret(page)).to.equal(true)
      await isWhole(visited, `secret ${look}`)
      await page.getByLabel('I have stored it').check()
      await page.getByRole('button', { name: 'Done' }).click()
      await page.getByRole('link', { name: 'there' }).click()
      await page.getByRole('button', { name: 'Edit' }).click()
      expect(await coveredActions(page), 'edit').to.deep.equal([])
      await isWhole(visited, `edit ${look}`)
    })
  }

  it('moves nothing for people who have asked for that', async () => {
    const durations = (page: Page) =>
      page.evaluate(
        "[...document.querySelectorAll('*')].map((one) => getComputedStyle(one)).filter(({ transitionDuration: t, animationName: a }) => t !== '0s' || a !== 'none').length",
      )
    const still = await open(ownAccount(), { reducedMotion: 'reduce' })
    expect(await durations(still.page)).to.equal(0)
    const moving = await open(ownAccount(), { reducedMotion: 'no-preference' })
    expect(await durations(moving.page)).to.be.greaterThan(0)
  })

  it('marks that are piled on letters cover nothing beside them', async () => {
    const account = ownAccount()
    const zalgo = `a${'\u0316\u0301'.repeat(40)}`
    await createToken(owner(account), { name: 'below' })
    await createToken(owner(account), { name: zalgo, description: `d${'\u0316\u0301'.repeat(200)}` })
    await createToken(owner(account), { name: 'above' })
    const { page, picture } = await open(account)
    await page.getByRole('link', { name: 'below' }).waitFor()
    const pictures = async () => {
      return Promise.all(
        [page.locator('tbody tr').first(), page.locator('tbody tr').last()].map((row) => row.screenshot()),
      )
    }
    await picture('marks')
    const withMarks = await pictures()
    await page.evaluate(
      "document.querySelectorAll('tbody tr:nth-child(2) [dir=auto]').forEach((one) => { one.textContent = one.textContent[0] })",
    )
    const without = await pictures()
    for (const i of [0, 1]) expect(withMarks[i]?.equals(without[i] as Buffer), `row ${i * 2}`).to.equal(true)
  })

  it('names that run from right to left do not turn what stands beside them', async () => {
    const account = ownAccount()
    const name = 'שלום 123'
    await createToken(owner(account), { name, metadata: { team: 'צוות' } })
    const { page, picture } = await open(account)
    await page.getByRole('link', { name }).click()
    await page.getByRole('button', { name: 'Revoke' }).click()
    const title = await page.locator('dialog h2').textContent()
    expect(title).to.equal(`Revoke \u2068${name}\u2069?`)
    await picture('right-to-left')
    // The question mark is the last thing of the line, on the right.
    const ends = await page.evaluate(`(() => {
      const node = [...document.querySelector('dialog h2').childNodes].find((one) => one.nodeType === 3 && one.textContent.includes('?'))
      const place = (text) => {
        const from = node.textContent.indexOf(text)
        const range = document.createRange()
        range.setStart(node, from)
        range.setEnd(node, from + text.length)
        return range.getBoundingClientRect()
      }
      return { mark: place('?').left, name: place(${JSON.stringify(name)}).right }
    })()`)
    const { mark, name: end } = ends as { mark: number; name: number }
    expect(mark).to.be.at.least(end - 1)
  })

  it('draws 50 tokens with 30 days each', async function () {
    const account = ownAccount()
    for (let i = 0; i < 50; i++) await createToken(owner(account), { name: `token ${i}` })
    const { page } = await open(account)
    await page.getByText('50 tokens shown').waitFor()
    const drawn = (await page.evaluate(`(async () => {
      const { tokens } = await import('./tokens/tokenList.js')
      const { redraw } = await import('./tokens/store.js')
      const times = []
      for (let turn = 0; turn < 15; turn++) {
        for (const rows of [[], tokens.rows.map((row) => ({ ...row, daily: Array.from({ length: 30 }, (_, day) => 1 + ((day * 7 + turn) % 30)) }))]) {
          const kept = rows.length > 0 ? rows : tokens.rows
          tokens.rows = rows
          const from = performance.now()
          redraw()
          await null
          document.body.getBoundingClientRect()
          if (rows.length > 0) times.push(performance.now() - from)
          tokens.rows = kept
        }
      }
      times.sort((a, b) => a - b)
      return { bars: [...document.querySelectorAll('.spark .bars')].flatMap((one) => one.getAttribute('d').match(/M/g)).length, median: times[7] }
    })()`)) as { bars: number; median: number }
    expect(drawn.bars).to.equal(50 * 30)
    if (this.test) this.test.title += ` in ${drawn.median.toFixed(0)} ms`
  })
})

describeWithBrowser('The page of an account with 10,000 tokens', function () {
  this.timeout(180_000)
  const MANY = 10_000
  const ACCOUNT = 'acct_1'
  const { open } = pageVisits({}, async (folder) => {
    const store = await openSqliteEventStore(join(folder, 'events.db'))
    const write = createWriter(store)
    const make = (n: number) => {
      const tokenId = randomUUID()
      return write(tokenStream(tokenId), [
        movableEvent('TokenCreated', {
          tokenId,
          accountId: ACCOUNT,
          name: `token ${n}`,
          hash: n.toString(16).padStart(64, '0'),
          hashKeyId: 'k1',
          hint: 'tkl_…abcd',
          scopes: [],
          expiresAt: null,
        }),
      ])
    }
    for (let n = 0; n < MANY; n += 500) await Promise.all(Array.from({ length: 500 }, (_, i) => make(n + i)))
    await store.close()
  })

  it('shows the first of them, counts them all, and finds the last', async () => {
    const { page, stumbles, picture } = await open(ACCOUNT)
    await page.getByRole('button', { name: '10,000 Not revoked' }).waitFor()
    await page.getByText('50 tokens shown').waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('ten-thousand')
    await page.getByRole('button', { name: 'Load more' }).click()
    await page.getByText('100 tokens shown').waitFor()
    const names = await page.locator('td.name a').allTextContents()
    expect(new Set(names).size, 'none twice').to.equal(100)
    await page.getByLabel('Search names and descriptions').fill('token 999')
    await page.getByText('11 tokens shown').waitFor()
    await page.getByLabel('Search names and descriptions').fill('token 9999')
    await page.getByText('1 token shown').waitFor()
  })
})

describeWithBrowser('The description of the API, in a browser', function () {
  this.timeout(120_000)
  const { service, come, ownAccount, owner } = pageVisits()

  it('groups the routes, and makes a token from its example as it stands', async () => {
    const account = ownAccount()
    const { page, picture } = await come()
    await page.goto(`${service().url}/docs/`)
    await page.locator('#operations-Tokens-createToken').waitFor()
    const groups = await page
      .locator('.opblock-tag')
      .evaluateAll((all) =>
        all.map((one: { getAttribute(name: string): string | null }) => one.getAttribute('data-tag')),
      )
    expect(groups.slice(0, 3)).to.deep.equal(['Tokens', 'Rotation', 'Usage'])
    await picture('docs')
    await page.getByRole('button', { name: 'Authorize' }).first().click()
    const jwt = page.locator('.auth-container', { hasText: 'JWT' }).filter({ hasNotText: 'operators' })
    await jwt.getByRole('textbox').first().fill(jwtFor(account))
    await jwt
      .getByRole('button', { name: /Apply|Authorize/ })
      .first()
      .click()
    await page.getByRole('button', { name: 'Close' }).first().click()
    const operation = page.locator('#operations-Tokens-createToken')
    await operation.locator('.opblock-summary-control').click()
    await operation.getByRole('button', { name: 'Try it out' }).click()
    await operation.getByRole('button', { name: 'Execute' }).click()
    await operation.locator('.live-responses-table .response-col_status', { hasText: '201' }).waitFor()
    const { data } = (await owner(account).get('/settings/api-tokens')).body
    expect(data.map(({ name }) => name)).to.deep.equal(['CI deploy'])
  })
})
