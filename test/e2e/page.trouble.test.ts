import { generateKeyPairSync, sign } from 'node:crypto'
import { expect } from 'chai'
import type { Page, Route } from 'playwright-core'
import { callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { linkFor } from '../support/callers/portal.ts'
import { describeWithBrowser } from '../support/processes/browser.ts'
import { sending, startIssuer, type TestIssuer } from '../support/processes/issuer.ts'
import { pageVisits } from '../support/processes/pageVisits.ts'
import { eventually } from '../support/suite/eventually.ts'

const AWAY = {
  status: 503,
  contentType: 'application/problem+json',
  body: JSON.stringify({ code: 'store_unavailable', detail: 'Try again.' }),
}
const CLOSED = {
  status: 401,
  contentType: 'application/problem+json',
  body: JSON.stringify({ code: 'unauthorized', detail: 'Send an API token or a JWT.' }),
}
const API_TOKENS = /\/tokens\/api\/tokens(\?|$)/

const isChange = (route: Route): boolean => route.request().method() !== 'GET'

async function openCreate(page: Page, name: string): Promise<void> {
  await page.getByRole('button', { name: 'New token' }).first().click()
  await page.getByLabel('Name', { exact: true }).fill(name)
  await page.getByRole('button', { name: 'Create token' }).click()
}

const storeSecret = async (page: Page): Promise<string> => {
  const secret = await page.getByLabel('Secret', { exact: true }).inputValue()
  await page.getByLabel('I have stored it').check()
  await page.getByRole('button', { name: 'Done' }).click()
  return secret
}

describeWithBrowser('The page, when something goes wrong', function () {
  this.timeout(120_000)
  const { service, open, come, owner, ownAccount } = pageVisits()
  const statusOf = async (token: string) =>
    (await callerOf(service().url, tokenHeader(token)).get(`${TOKENS}/self`)).status

  it('makes one token when the answer is lost, and gives another secret for it', async () => {
    const account = ownAccount()
    const { page, stumbles, picture } = await open(account)
    let lost = ''
    await page.route(API_TOKENS, async (route) => {
      if (lost !== '' || !isChange(route)) return route.continue()
      const answer = await route.fetch()
      lost = ((await answer.json()) as { token: string }).token
      await route.abort('connectionreset')
    })
    await openCreate(page, 'only one')
    await page.getByRole('heading', { name: /its secret was lost on the way/ }).waitFor()
    expect(await page.evaluate('document.activeElement.textContent.trim()')).to.equal('Get another secret')
    expect(await stumbles()).to.deep.equal([])
    await picture('secret-lost')
    await page.keyboard.press('Escape')
    await page.getByRole('button', { name: 'Get another secret' }).click()
    const secret = await storeSecret(page)
    await page.getByRole('link', { name: 'only one' }).waitFor()
    const { data } = (await owner(account).get(TOKENS)).body
    expect(data.map(({ name }) => name)).to.deep.equal(['only one'])
    expect([await statusOf(secret), await statusOf(lost)]).to.deep.equal([200, 401])
  })

  it('goes on when the answer to another secret is lost, too', async () => {
    const account = ownAccount()
    const { page } = await open(account)
    const lost = new Set<string>()
    await page.route(/\/tokens\/api\/tokens/, async (route) => {
      const path = new URL(route.request().url()).pathname
      if (!isChange(route) || lost.has(path)) return route.continue()
      lost.add(path)
      await route.fetch()
      await route.abort('connectionreset')
    })
    await openCreate(page, 'lost twice')
    await page.getByRole('button', { name: 'Get another secret' }).click()
    await page.getByRole('alert').getByText('The answer was lost.').waitFor()
    await page.getByRole('button', { name: 'Get another secret' }).click()
    expect(await statusOf(await storeSecret(page))).to.equal(200)
    expect((await owner(account).get(TOKENS)).body.data).to.have.lengthOf(1)
  })

  it('says that the server is away, asks again, and then shows what there is', async () => {
    const account = ownAccount()
    await createToken(owner(account), { name: 'still there' })
    const { page, stumbles, picture } = await come()
    let refusals = 2
    await page.route(API_TOKENS, (route) => (refusals-- > 0 ? route.fulfill(AWAY) : route.continue()))
    await page.goto(await linkFor(service().url, account))
    await page.getByRole('status').getByText('The server cannot answer right now').waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('retrying')
    await page.getByRole('link', { name: 'still there' }).waitFor()
    await page.getByText('The server cannot answer right now').waitFor({ state: 'detached' })
  })

  it('gives up after some tries, and tries again when it is asked to', async () => {
    const account = ownAccount()
    await createToken(owner(account), { name: 'later there' })
    const { page, stumbles, picture } = await come()
    let isAway = true
    await page.route(API_TOKENS, (route) => (isAway ? route.fulfill(AWAY) : route.continue()))
    await page.goto(await linkFor(service().url, account))
    await page.getByRole('alert').getByText('The server cannot be reached.').waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('away')
    isAway = false
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByRole('link', { name: 'later there' }).waitFor()
  })

  it('a change that the server could not make is said to be none, and can be made again', async () => {
    const account = ownAccount()
    const { id } = await createToken(owner(account), { name: 'before' })
    const { page } = await open(account)
    let refusals = 1
    await page.route(`**/api/tokens/${id}`, (route) =>
      isChange(route) && refusals-- > 0 ? route.fulfill(AWAY) : route.continue(),
    )
    await page.getByRole('link', { name: 'before' }).click()
    await page.getByRole('button', { name: 'Edit' }).click()
    await page.getByLabel('Name', { exact: true }).fill('after')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('alert').getByText('Nothing was changed').waitFor()
    expect((await owner(account).get(`${TOKENS}/${id}`)).body.name).to.equal('before')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('after is saved.').waitFor()
  })

  it('revokes even if the first answer is lost', async () => {
    const account = ownAccount()
    const { id } = await createToken(owner(account), { name: 'going' })
    const { page } = await open(account)
    let losses = 1
    await page.route(new RegExp(`/api/tokens/${id}(\\?|$)`), async (route) => {
      if (!isChange(route) || losses-- <= 0) return route.continue()
      await route.fetch()
      await route.abort('connectionreset')
    })
    await page.getByRole('link', { name: 'going' }).click()
    await page.getByRole('button', { name: 'Revoke' }).click()
    await page.locator('dialog').getByRole('button', { name: 'Revoke' }).click()
    await page.getByText('going is revoked.').waitFor()
  })

  it('a link that could not be used for an outage can be used when that is over', async () => {
    const account = ownAccount()
    const { page, stumbles, picture } = await come()
    let isAway = true
    await page.route('**/api/session', (route) => (isAway ? route.fulfill(AWAY) : route.continue()))
    await page.goto(await linkFor(service().url, account))
    await page.getByRole('heading', { name: 'The server cannot be reached.' }).waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('link-away')
    expect(page.url()).to.equal(`${service().url}/tokens`)
    isAway = false
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByRole('heading', { name: `Account ${account}` }).waitFor()
  })

  it('a link of an account that was closed meanwhile does not ask to try again', async () => {
    const { page, stumbles } = await come()
    await page.route('**/api/session', (route) => route.fulfill(CLOSED))
    await page.goto(await linkFor(service().url, ownAccount()))
    await page.getByRole('heading', { name: 'Nobody is logged in here.' }).waitFor()
    expect(await page.getByRole('button', { name: 'Try again' }).count()).to.equal(0)
    expect(await stumbles()).to.deep.equal([])
  })

  it('says that it is offline, and reads again when it is not', async () => {
    const account = ownAccount()
    const { page, stumbles, picture } = await open(account)
    await page.getByRole('heading', { name: 'No tokens yet' }).waitFor()
    await page.context().setOffline(true)
    await page.getByRole('status').getByText('You are offline').waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('offline')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByText('You are still signed in').waitFor()
    await createToken(owner(account), { name: 'made meanwhile' })
    await page.context().setOffline(false)
    await page.getByText('You are offline').waitFor({ state: 'detached' })
    await page.getByRole('link', { name: 'made meanwhile' }).waitFor()
  })

  it('the session may end while a form is open, and nothing is changed', async () => {
    const account = ownAccount()
    const { page, stumbles, picture } = await open(
      account,
      {},
      { return_url: 'https://app.example.com/settings' },
    )
    await page.getByRole('button', { name: 'New token' }).first().click()
    await page.getByLabel('Name', { exact: true }).fill('never made')
    await page.context().clearCookies()
    await page.getByRole('button', { name: 'Create token' }).click()
    await page.getByRole('heading', { name: 'Your session is over' }).waitFor()
    expect(await page.locator('dialog').count()).to.equal(0)
    expect(await stumbles()).to.deep.equal([])
    await picture('session-over')
    await page.getByRole('link', { name: 'Back' }).waitFor()
    expect((await owner(account).get(TOKENS)).body.data).to.deep.equal([])
  })

  it('a secret that nobody has stored stays when the session ends', async () => {
    const { page } = await open(ownAccount())
    await openCreate(page, 'held')
    const secret = await page.getByLabel('Secret', { exact: true }).inputValue()
    await page.context().clearCookies()
    await page.evaluate("dispatchEvent(new Event('online'))")
    await page.getByText('Your session is over').waitFor()
    expect(await page.getByLabel('Secret', { exact: true }).inputValue()).to.equal(secret)
    await storeSecret(page)
    await page.getByRole('heading', { name: 'Your session is over' }).waitFor()
    expect(await page.content()).to.not.include(secret)
  })
})

describeWithBrowser('The page, in two tabs', function () {
  this.timeout(120_000)
  const { service, open, owner, ownAccount } = pageVisits()

  it('says in one what was changed in the other', async () => {
    const account = ownAccount()
    await createToken(owner(account), { name: 'shared' })
    const { page } = await open(account)
    const other = await page.context().newPage()
    await other.goto(`${service().url}/tokens`)
    for (const tab of [page, other]) {
      await tab.getByRole('link', { name: 'shared' }).click()
      await tab.getByRole('button', { name: 'Edit' }).click()
    }
    await page.getByLabel('Name', { exact: true }).fill('of the first tab')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('of the first tab is saved.').waitFor()
    await other.getByLabel('Name', { exact: true }).fill('of the second tab')
    await other.getByRole('button', { name: 'Save' }).click()
    await other.getByText('Somebody else has changed this token meanwhile').waitFor()
    await other.getByRole('heading', { name: 'of the first tab' }).waitFor()
  })

  it('one that was signed out is signed out in the other', async () => {
    const { page } = await open(ownAccount())
    const other = await page.context().newPage()
    await other.goto(`${service().url}/tokens`)
    await other.getByRole('button', { name: 'Sign out' }).click()
    await other.getByRole('heading', { name: 'You are signed out.' }).waitFor()
    await page.getByLabel('State').selectOption('all')
    await page.getByRole('heading', { name: 'Your session is over' }).waitFor()
  })

  it('says only that the session is over where that of the other account has ended, too', async () => {
    const { page } = await open(ownAccount())
    await page.getByRole('heading', { name: 'No tokens yet' }).waitFor()
    await page.route(API_TOKENS, (route) =>
      route.fulfill({ ...AWAY, status: 409, body: JSON.stringify({ code: 'other_account' }) }),
    )
    await page.context().clearCookies()
    await page.getByLabel('State').selectOption('all')
    await page.getByRole('heading', { name: 'Your session is over' }).waitFor()
    await page.waitForLoadState('networkidle')
    expect(await page.getByText('You see that account now').count()).to.equal(0)
  })

  it('nothing happens in an account that a tab does not show', async () => {
    const [first, second] = [ownAccount(), ownAccount()]
    await createToken(owner(second), { name: 'of the second' })
    const { page, picture } = await open(first)
    await page.getByRole('heading', { name: 'No tokens yet' }).waitFor()
    const other = await page.context().newPage()
    await other.goto(await linkFor(service().url, second))
    await other.getByRole('button', { name: 'Switch account' }).click()
    await other.getByRole('link', { name: 'of the second' }).waitFor()

    await openCreate(page, 'meant for the first')
    await page.getByText('Somebody has logged in to another account in this browser.').waitFor()
    await page.getByRole('heading', { name: `Account ${second}` }).waitFor()
    await page.getByRole('link', { name: 'of the second' }).waitFor()
    await picture('account-changed')
    for (const account of [first, second]) {
      const { data } = (await owner(account).get(TOKENS)).body
      expect(data.filter(({ name }) => name === 'meant for the first')).to.deep.equal([])
    }
  })
})

describeWithBrowser('The page, when a token has leaked', function () {
  this.timeout(120_000)
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  let publisher: TestIssuer
  const settings: { leakAction: 'notify'; leakKeysUrl: string } = { leakAction: 'notify', leakKeysUrl: '' }
  before(async () => {
    publisher = await startIssuer()
    publisher.at['/keys'] = sending({ public_keys: [{ key_identifier: 'own', key, is_current: true }] })
    settings.leakKeysUrl = `${publisher.url}/keys`
  })
  after(() => publisher.close())
  const { service, open, owner, ownAccount, use } = pageVisits(settings)

  it('says where it was found, and what it did since', async () => {
    const account = ownAccount()
    const made = await createToken(owner(account), { name: 'found in public' })
    const url = 'https://github.com/acme/shop/commit/1'
    const body = JSON.stringify([{ token: made.token, type: 'tokenledger', url, source: 'commit' }])
    const answer = await callerOf(service().url).post('/leaks/github', body, {
      'Content-Type': 'application/json',
      'Github-Public-Key-Identifier': 'own',
      'Github-Public-Key-Signature': sign('sha256', Buffer.from(body), privateKey).toString('base64'),
    })
    expect(answer.status).to.equal(200)
    await use(made.token, 3)
    await eventually(async () => {
      const used = (await owner(account).get(`${TOKENS}/${made.id}/usage`)).body
      expect(used.total.requests).to.equal(3)
    })
    const { page, stumbles, picture } = await open(account)
    await page.getByRole('link', { name: 'found in public' }).click()
    const notice = page.getByRole('alert')
    await notice.getByRole('heading', { name: 'This token was found in a public place' }).waitFor()
    expect(await notice.textContent()).to.include(url)
    const blast = page.locator('section', { has: page.getByRole('heading', { name: 'Blast radius' }) })
    await blast.getByText('3 requests').first().waitFor()
    expect(await blast.getByLabel('Since').inputValue()).to.match(/^\d{4}-\d\d-\d\dT/)
    await page.getByRole('listitem').getByText('Found in a public place').waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('leaked')
  })
})
