import { expect } from 'chai'
import { callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import { linkFor } from '../support/callers/portal.ts'
import { describeWithBrowser, visit } from '../support/processes/browser.ts'
import { startHost } from '../support/processes/hostApp.ts'
import { pageVisits } from '../support/processes/pageVisits.ts'
import { eventually } from '../support/suite/eventually.ts'

const SECRET = /tkl_[0-9A-Za-z]{49}/

describeWithBrowser('The page', function () {
  this.timeout(120_000)
  const { service, browser, open, come, owner, ownAccount, use } = pageVisits()

  it('takes the code out of the address at once, and keeps it nowhere', async () => {
    const { page } = await open(ownAccount())
    expect(page.url()).to.equal(`${service().url}/tokens`)
    const kept = await page.evaluate(
      'JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])',
    )
    expect(kept).to.equal('[{},{},""]')
    await page.reload()
    await page.getByRole('heading', { name: /^Account/ }).waitFor()
  })

  it('makes a token and shows its secret once, until it is said to be stored', async () => {
    const account = ownAccount()
    const { page, stumbles, picture } = await open(account, {
      permissions: ['clipboard-read', 'clipboard-write'],
    })
    expect(await stumbles()).to.deep.equal([])
    await picture('list-empty')
    await page.getByRole('button', { name: 'New token' }).first().click()
    expect(await page.evaluate('document.activeElement.id')).to.equal('name')
    expect(await stumbles()).to.deep.equal([])
    await picture('create')
    await page.getByRole('button', { name: 'Create token' }).click()
    await page.getByRole('alert').getByText('Give it a name.').waitFor()
    await page.getByLabel('Name', { exact: true }).fill('CI deploy')
    await page.getByLabel('60 days').check()
    await page.getByLabel(/orders:read/).check()
    await page.getByRole('button', { name: 'Create token' }).dblclick()

    const field = page.getByLabel('Secret', { exact: true })
    await field.waitFor()
    const secret = await field.inputValue()
    expect(secret).to.match(SECRET)
    expect(await page.evaluate('document.activeElement.textContent')).to.equal('Copy')
    expect(await stumbles()).to.deep.equal([])
    await picture('secret')
    for (let i = 0; i < 3; i++) await page.keyboard.press('Escape')
    expect(await field.inputValue(), 'Escape loses nothing').to.equal(secret)
    await page.getByRole('button', { name: 'Copy' }).click()
    await page.getByRole('status').getByText('Copied').waitFor()
    expect(await page.evaluate('navigator.clipboard.readText()')).to.equal(secret)
    expect(await page.getByRole('button', { name: 'Done' }).isDisabled()).to.equal(true)
    await page.getByText('Try it').click()
    expect(await page.locator('pre').textContent()).to.equal(
      `curl -i ${service().url}/auth/verify -H 'X-API-Token: ${secret}'`,
    )
    await page.getByLabel('I have stored it').check()
    await page.getByRole('button', { name: 'Done' }).click()
    await page.getByRole('link', { name: 'CI deploy' }).waitFor()
    await eventually(async () =>
      expect(await page.evaluate('document.activeElement.textContent')).to.equal('CI deploy'),
    )
    const kept = await page.evaluate(
      'document.documentElement.outerHTML + location.href + JSON.stringify({ ...localStorage, ...sessionStorage, ...history.state })',
    )
    expect(kept).to.not.match(SECRET)
    const { data } = (await owner(account).get(TOKENS)).body
    expect(
      data.map(({ name, scopes }) => ({ name, scopes })),
      'a double click makes one',
    ).to.deep.equal([{ name: 'CI deploy', scopes: ['orders:read'] }])
    await use(secret, 1)
  })

  it('says when the browser did not copy, and selects the secret', async () => {
    const { page, stumbles, picture } = await open(ownAccount())
    await page.evaluate("navigator.clipboard.writeText = () => Promise.reject(new Error('no'))")
    await page.getByRole('button', { name: 'New token' }).first().click()
    await page.getByLabel('Name', { exact: true }).fill('x')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Copy' }).click()
    await page.getByText('Your browser did not copy it').waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('copy-failed')
    expect(await page.evaluate('getSelection().toString()')).to.match(SECRET)
  })

  it('shows one token with its use and history, rotates it and revokes it', async () => {
    const account = ownAccount()
    const made = await createToken(owner(account), { name: 'Nightly export', scopes: ['orders:read'] })
    await use(made.token, 3)
    const { page, stumbles, picture } = await open(account)
    await eventually(async () => {
      await page.reload()
      await page.getByRole('link', { name: 'Nightly export' }).click()
      await page.getByText('3 requests').first().waitFor({ timeout: 2_000 })
    })
    await page.getByText('As a table').click()
    await page.getByRole('button', { name: '24 hours' }).click()
    await page.getByRole('img', { name: '24 hours: 3 requests' }).waitFor()
    await page
      .getByRole('button', { name: /^As of/ })
      .first()
      .click()
    await page.getByRole('heading', { name: /^As it was on/ }).waitFor()
    await page
      .locator('section', { has: page.getByRole('heading', { name: 'Blast radius' }) })
      .getByRole('button', { name: 'Show' })
      .click()
    await page.getByRole('heading', { name: 'Address' }).waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('details')

    await page.getByRole('button', { name: 'Rotate' }).click()
    expect(await stumbles()).to.deep.equal([])
    await picture('rotate')
    await page.getByRole('button', { name: 'Get the new secret' }).click()
    const secret = await page.getByLabel('Secret', { exact: true }).inputValue()
    expect(secret).to.match(SECRET).and.not.equal(made.token)
    await page.getByLabel('I have stored it').check()
    await page.getByRole('button', { name: 'Done' }).click()
    await page.getByRole('heading', { name: /waiting for its first use/ }).waitFor()
    await page.getByRole('cell', { name: 'Waits for its first use' }).waitFor()
    await page.getByText(/From the first use of tkl_…\S+ on the old secret works for 1 day more\./).waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('rotation-pending')
    await use(secret, 1)
    await eventually(async () => {
      await page.reload()
      await page.getByRole('heading', { name: /^The old secret .* works until/ }).waitFor({ timeout: 2_000 })
    })
    // Which secret is used still: the older one had three requests, the newer one has had one.
    const secrets = page.locator('table', { hasText: /Works until/ }).locator('tbody tr')
    await eventually(async () => {
      await page.reload()
      await secrets.first().waitFor({ timeout: 2_000 })
      const cells = await secrets.locator('td').allTextContents()
      expect(cells.filter((_, i) => i % 4 === 1).map((text) => text.replace(/ until .*/, ''))).to.deep.equal([
        'In use',
        'Works',
      ])
      expect(cells.filter((_, i) => i % 4 === 3)).to.deep.equal(['1', '3'])
    })
    expect(await stumbles()).to.deep.equal([])
    await picture('rotation-grace')
    await page.getByRole('button', { name: 'End the old secret now' }).click()
    expect(await stumbles()).to.deep.equal([])
    await picture('rotation-end')
    expect(await page.evaluate('document.activeElement.textContent')).to.equal('Cancel')
    await page.locator('dialog').getByRole('button', { name: 'End the old secret now' }).click()
    await page.getByText('The rotation has ended.').waitFor()
    await page.getByRole('listitem').getByText('Old secret ended').waitFor()
    expect(await page.getByText('a secret that had retired').count()).to.equal(0)
    await use(made.token, 2)
    await eventually(async () => {
      await page.reload()
      await page.getByText('2 requests came with a secret that had retired').waitFor({ timeout: 2_000 })
    })
    await page.getByRole('cell', { name: 'Refused', exact: true }).waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('retired-uses')

    await page.getByRole('button', { name: 'Revoke' }).click()
    expect(await page.evaluate('document.activeElement.textContent')).to.equal('Cancel')
    expect(await stumbles()).to.deep.equal([])
    await picture('revoke')
    await page.getByLabel('Reason').fill('tried')
    await page.locator('dialog').getByRole('button', { name: 'Revoke' }).click()
    await page.getByText('Nightly export is revoked.').waitFor()
    await page.getByRole('listitem').getByText('tried').waitFor()
    expect(await page.getByRole('cell', { name: 'In use' }).count(), 'of a revoked token none is').to.equal(0)
    expect(await stumbles()).to.deep.equal([])
    await picture('revoked')
    expect(await page.getByRole('button', { name: 'Edit' }).count()).to.equal(0)
    const { body } = await owner(account).get(`${TOKENS}/${made.id}`)
    expect(body.status).to.equal('revoked')
  })

  it('is used by keyboard alone', async () => {
    const account = ownAccount()
    await createToken(owner(account), { name: 'by keyboard' })
    const { page } = await open(account)
    const focused = () => page.evaluate("document.activeElement.textContent.trim().replace(/\\s+/g, ' ')")
    const tabTo = async (text: string): Promise<void> => {
      for (let i = 0; i < 40; i++) {
        if ((await focused()) === text) return
        await page.keyboard.press('Tab')
      }
      throw new Error(`nothing is focused that is called ${text}`)
    }
    await page.getByRole('link', { name: 'by keyboard' }).waitFor()
    await tabTo('by keyboard')
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Revoke' }).waitFor()
    await tabTo('Revoke')
    await page.keyboard.press('Enter')
    expect(await focused()).to.equal('Cancel')
    await page.keyboard.press('Escape')
    await eventually(async () => expect(await focused()).to.equal('Revoke'))
    await page.keyboard.press('Enter')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByText('by keyboard is revoked.').waitFor()
  })

  it('says that somebody else was faster, and shows the token as it is now', async () => {
    const account = ownAccount()
    const { id } = await createToken(owner(account), { name: 'before' })
    const { page } = await open(account)
    await page.getByRole('link', { name: 'before' }).click()
    await page.getByRole('button', { name: 'Edit' }).click()
    await owner(account).patch(`${TOKENS}/${id}`, { name: 'of somebody else' })
    await page.getByLabel('Name', { exact: true }).fill('mine')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Somebody else has changed this token meanwhile').waitFor()
    await page.getByRole('heading', { name: 'of somebody else' }).waitFor()
  })

  it('revokes many at once, and says which', async () => {
    const account = ownAccount()
    for (const name of ['one', 'two', 'three']) await createToken(owner(account), { name })
    const { page, stumbles, picture } = await open(account)
    await page.getByLabel('Select one').check()
    await page.getByLabel('Select two').check()
    await page.getByRole('button', { name: 'Revoke selected…' }).click()
    expect(await page.locator('dialog li').allTextContents()).to.have.length(2)
    expect(await stumbles()).to.deep.equal([])
    await picture('bulk')
    await page.locator('dialog').getByRole('button', { name: 'Revoke' }).click()
    await page.getByText('2 tokens are revoked.').waitFor()
    const { data } = (await owner(account).get(TOKENS)).body
    expect(data.map(({ name }) => name)).to.deep.equal(['three'])
  })

  it('keeps search and sorting in the address', async () => {
    const account = ownAccount()
    for (const name of ['alpha', 'beta']) await createToken(owner(account), { name })
    const { page, stumbles, picture } = await open(account)
    await page.getByLabel('Search names and descriptions').fill('alp')
    await page.getByText('1 token shown').waitFor()
    await page.getByLabel('Sort by').selectOption('name')
    expect(new URL(page.url()).search).to.equal('?q=alp&sort=name')
    await page.reload()
    await page.getByText('1 token shown').waitFor()
    await page.getByLabel('Search names and descriptions').fill('none of them')
    await page.getByRole('heading', { name: 'No token matches' }).waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('no-match')
  })

  it('counts what needs a look, and shows it at a click, with a bar for each day', async () => {
    const account = ownAccount()
    const soon = new Date(Date.now() + 5 * 86_400_000).toISOString()
    const later = new Date(Date.now() + 50 * 86_400_000).toISOString()
    const made = await createToken(owner(account), { name: 'expires soon', expires_at: soon })
    await createToken(owner(account), { name: 'expires later', expires_at: later })
    await createToken(owner(account), { name: 'stays for ever' })
    await use(made.token, 4)
    const { page, stumbles, picture } = await open(account)
    await eventually(async () => {
      await page.reload()
      await page.getByRole('img', { name: '4 uses in the last 30 days' }).waitFor({ timeout: 2_000 })
    })
    await page.getByRole('button', { name: '3 Not revoked' }).waitFor()
    expect(await page.getByLabel('State').locator('option:checked').textContent()).to.equal('Not revoked')
    expect(await stumbles()).to.deep.equal([])
    await picture('list')
    for (const [counter, name, query] of [
      ['1 Expire within 14 days', 'expires soon', '?only=expiring'],
      ['1 Never expire', 'stays for ever', '?only=never'],
    ] as const) {
      await page.getByRole('button', { name: counter }).click()
      await page.getByText('1 token shown').waitFor()
      await page.getByRole('link', { name }).waitFor()
      expect(new URL(page.url()).search).to.equal(query)
      await page.getByRole('button', { name: counter }).click()
      await page.getByText('3 tokens shown').waitFor()
    }
    await page.getByRole('button', { name: '0 Unused for 90 days' }).click()
    await page.getByRole('heading', { name: 'No token matches' }).waitFor()
    await page.goBack()
    await page.getByText('3 tokens shown').waitFor()
  })

  it('says who would be shut out by new addresses', async () => {
    const account = ownAccount()
    const made = await createToken(owner(account), { name: 'from here' })
    await use(made.token, 2)
    const { page, stumbles, picture } = await open(account)
    await page.getByRole('link', { name: 'from here' }).click()
    await page.getByRole('button', { name: 'Edit' }).click()
    await page.getByLabel(/^Allowed addresses/).fill('203.0.113.0/24')
    await eventually(async () => {
      await page.getByRole('button', { name: 'Who would be shut out?' }).click()
      await page.getByText('127.0.0.1 · 2 requests').waitFor({ timeout: 2_000 })
    })
    expect(await stumbles()).to.deep.equal([])
    await picture('edit')
    await page.getByLabel(/^Allowed addresses/).fill('127.0.0.0/8')
    await page.getByRole('button', { name: 'Who would be shut out?' }).click()
    await page.getByText('Nobody who used it').waitFor()
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('from here is saved.').waitFor()
    await page.getByRole('link', { name: /All tokens/ }).click()
    expect(await page.getByText('from here is saved.').count(), 'what is said stays with its view').to.equal(
      0,
    )
  })

  it('shows the newest of a long history first, and all of it', async () => {
    const account = ownAccount()
    const { id } = await createToken(owner(account), { name: 'changed often' })
    for (let i = 1; i <= 104; i++) await owner(account).patch(`${TOKENS}/${id}`, { name: `name ${i}` })
    const { page } = await open(account)
    await page.getByRole('link', { name: 'name 104' }).click()
    const entries = page.locator('.timeline > li')
    await entries.first().getByText('name 104').waitFor()
    expect(await entries.first().locator('dd').textContent()).to.match(/before: name 103\s*→\s*name 104/)
    expect(await entries.first().locator('time').textContent()).to.match(/\d\d:\d\d:\d\d \S+$/)
    expect(await entries.count()).to.equal(105)
  })

  it('draws how requests ended, by day and by hour, and says the same in a table', async () => {
    const account = ownAccount()
    const made = await createToken(owner(account), { name: 'mixed' })
    const api = callerOf(service().url, tokenHeader(made.token))
    for (let i = 0; i < 5; i++) await api.get(`${TOKENS}/self`)
    for (let i = 0; i < 2; i++)
      expect((await api.get(`${TOKENS}/01890000-0000-7000-8000-000000000000`)).status).to.equal(404)
    for (let i = 0; i < 3; i++) expect((await api.get('/auth/verify')).status).to.equal(200)
    const { page, stumbles, picture } = await open(account)
    await page.getByRole('link', { name: 'mixed' }).click()
    await eventually(async () => {
      await page.reload()
      await page.getByText('10 requests').first().waitFor({ timeout: 2_000 })
    })
    for (const range of ['24 hours', '7 days', '30 days']) {
      await page.getByRole('button', { name: range }).click()
      const chart = page.getByRole('img', { name: `${range}: 10 requests` })
      await chart.waitFor()
      const heights = await chart
        .locator('rect.good, rect.client')
        .evaluateAll((all) =>
          all.map((one: { getAttribute(name: string): string | null }) => Number(one.getAttribute('height'))),
        )
      expect(heights).to.have.lengthOf(2)
      expect((heights[0] ?? 0) / (heights[1] ?? 1)).to.be.closeTo(5 / 2, 0.01)
    }
    // What was only verified here ended somewhere else, and nobody here knows how.
    expect((await page.locator('.legend li').allTextContents()).map((text) => text.trim())).to.deep.equal([
      'Succeeded 5',
      'Accepted, end not known here 3',
      'Client errors (4xx) 2',
    ])
    await page.getByText('As a table').click()
    const rows = page.locator('table', { hasText: 'Client errors (4xx)' }).locator('tbody tr')
    expect((await rows.locator('td').allTextContents()).map((text) => text.trim())).to.deep.equal([
      '5',
      '3',
      '2',
      '10',
    ])
    expect(await stumbles()).to.deep.equal([])
    await picture('outcomes')
  })

  it('says all that a token did: when, how it ended, where tokens are managed, and what it changed', async () => {
    const account = ownAccount()
    const made = await createToken(owner(account), { name: 'in wrong hands', rotatable: true })
    const api = callerOf(service().url, tokenHeader(made.token))
    await api.get('/auth/verify')
    await api.get(`${TOKENS}/self`)
    await api.get(`${TOKENS}/01890000-0000-7000-8000-000000000000`)
    expect((await api.post(`${TOKENS}/self/rotations`, {})).status).to.equal(201)
    const { page, stumbles, picture } = await open(account)
    await page.getByRole('link', { name: 'in wrong hands' }).click()
    const blast = page.locator('section', { has: page.getByRole('heading', { name: 'Blast radius' }) })
    await eventually(async () => {
      await blast.getByRole('button', { name: 'Show' }).click()
      await blast.locator('.big', { hasText: '4 requests' }).waitFor({ timeout: 2_000 })
    })
    await blast.getByText(/^First on .+:\d\d \S+, last on .+:\d\d \S+\.$/).waitFor()
    const rows = async (heading: string) =>
      (
        await blast
          .locator('div', { has: page.getByRole('heading', { name: heading, exact: true }) })
          .last()
          .locator('tbody td:first-child')
          .allTextContents()
      ).map((text) => text.trim().replaceAll(/\s+/g, ' '))
    expect(await rows('Where tokens are managed')).to.have.members([
      'GET /settings/api-tokens/selfSucceeded: 1',
      'GET /settings/api-tokens/:idClient errors (4xx): 1',
      'POST /settings/api-tokens/self/rotationsSucceeded: 1',
    ])
    expect(await rows('Route')).to.have.lengthOf(1)
    // Counted by the hour, so never shown as if it were a moment. The last hour of a day ends on the next one.
    for (const text of await blast.locator('.stack tbody td:nth-child(2)').allTextContents())
      expect(text).to.match(/ \d\d:00\s?–.*\d\d:00$/)
    await blast.getByRole('listitem').filter({ hasText: 'Rotation started' }).waitFor()
    await blast.getByText('Hour by hour').click()
    await blast.locator('details tbody tr').first().waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('blast-radius')
    // Narrow, where there is no room for a head of the table, each cell says what it is.
    await page.setViewportSize({ width: 320, height: 640 })
    expect(await page.evaluate('document.documentElement.scrollWidth > innerWidth')).to.equal(false)
    expect(
      await page.evaluate(
        "getComputedStyle(document.querySelector('[aria-labelledby=blast] .stack tbody td:nth-child(2)'), '::before').content",
      ),
    ).to.equal('"First hour: "')
    expect(await stumbles()).to.deep.equal([])
    await picture('blast-radius-narrow')
  })

  it('shows markup and odd characters as text', async () => {
    const account = ownAccount()
    const name = '<img src=x onerror=alert(1)>"\'${7*7}'
    const made = await createToken(owner(account), {
      name,
      description: '<script>alert(1)</script>',
      metadata: { x: '<b>' },
    })
    await callerOf(service().url, { ...tokenHeader(made.token), 'User-Agent': '<svg onload=alert(1)>' }).get(
      `${TOKENS}/self`,
    )
    const { page } = await open(account)
    let alerts = 0
    page.on('dialog', () => void (alerts += 1))
    await page.getByRole('link', { name }).click()
    await page.getByRole('heading', { name }).waitFor()
    expect(await page.locator('img, script:not([src]), b > b').count()).to.equal(0)
    expect(alerts).to.equal(0)
  })

  it('a used link says so', async () => {
    const link = await linkFor(service().url, ownAccount())
    for (const heading of [/^Account/, 'This link was used before']) {
      const one = await come()
      await one.page.goto(link)
      await one.page.getByRole('heading', { name: heading }).waitFor()
      if (typeof heading === 'string') {
        expect(await one.stumbles()).to.deep.equal([])
        await one.picture('link-used')
      }
    }
  })

  it('asks before it goes to another account', async () => {
    const { page, stumbles, picture } = await open(ownAccount())
    const other = ownAccount()
    await createToken(owner(other), { name: 'of the other' })
    await page.goto('about:blank')
    await page.goto(await linkFor(service().url, other))
    await page.getByRole('heading', { name: 'This browser is logged in to another account' }).waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('other-account')
    await page.getByRole('button', { name: 'Switch account' }).click()
    await page.getByRole('heading', { name: `Account ${other}` }).waitFor()
    await page.getByRole('link', { name: 'of the other' }).waitFor()
  })

  it('who has no link, or one that is not whole, is told so', async () => {
    for (const [name, hash, heading] of [
      ['no-session', '', 'Nobody is logged in here.'],
      ['link-refused', '#code=k1.AAAA', 'This link is too old or not whole.'],
    ] as const) {
      const { page, stumbles, picture } = await come()
      await page.goto(`${service().url}/tokens${hash}`)
      await page.getByRole('heading', { name: heading }).waitFor()
      expect(page.url()).to.equal(`${service().url}/tokens`)
      expect(await stumbles()).to.deep.equal([])
      await picture(name)
    }
  })

  it('who is not logged in to an app without links is told to log in, and of no link', async () => {
    const host = await startHost((app, ledger) => app.use(ledger.page()), { resolveUser: () => null })
    const { page, stumbles, picture, faults, close } = await visit(browser(), host.url)
    await page.goto(`${host.url}/tokens`)
    await page.getByRole('heading', { name: 'Nobody is logged in here.' }).waitFor()
    const text = (await page.locator('main').textContent()) ?? ''
    expect(text).to.contain('Log in to the app').and.not.to.contain('link')
    expect(await stumbles()).to.deep.equal([])
    await picture('no-login')
    expect(faults).to.deep.equal([])
    await close()
    await host.close()
  })

  it('says beside a field what is wrong with it, and goes there', async () => {
    const account = ownAccount()
    const { page, stumbles, picture } = await open(account)
    await page.getByRole('button', { name: 'New token' }).first().click()
    await page.getByLabel('Name', { exact: true }).fill('wrong')
    await page.getByLabel('A date').check()
    await page.getByRole('button', { name: 'Create token' }).click()
    await page.getByRole('alert').getByText('Choose a day in the future.').waitFor()
    await page.getByLabel('Expires at the end of').fill('2099-01-01')
    await page.getByText('Expires on 1 Jan 2099.').waitFor()
    await page.getByLabel(/^Allowed addresses/).fill('192.0.2.1\n300.0.0.1\n198.51.100.7/24')
    await page.getByRole('button', { name: 'Create token' }).click()
    await page.getByRole('alert').waitFor()
    const { bottom, top } = (await page.evaluate(
      "({ bottom: document.querySelector('#addresses-error').getBoundingClientRect().bottom, top: document.querySelector('dialog .actions').getBoundingClientRect().top })",
    )) as { bottom: number; top: number }
    expect(bottom, 'not below the buttons').to.be.at.most(top)
    // In the page's own texts, which a host may replace.
    expect(await page.locator('#addresses-error').textContent()).to.match(
      /^Neither an address nor a block: 300\.0\.0\.1, 198\.51\.100\.7\/24\./,
    )
    expect(await page.getByRole('alert').textContent()).to.equal(
      'Nothing was done: something above is not accepted.',
    )
    expect(await page.evaluate('document.activeElement.id')).to.equal('addresses')
    expect(await stumbles()).to.deep.equal([])
    await picture('create-wrong')
    expect((await owner(account).get(TOKENS)).body.data).to.deep.equal([])
  })

  it('leads back where the host said, also when the session is over', async () => {
    const back = 'https://app.example.com/settings/tokens'
    const { page, picture } = await open(ownAccount(), {}, { return_url: back })
    expect(await page.getByRole('link', { name: 'Back' }).getAttribute('href')).to.equal(back)
    await page.getByRole('button', { name: 'New token' }).first().click()
    await page.getByLabel('Name', { exact: true }).fill('the last')
    await page.keyboard.press('Enter')
    await page.getByLabel('I have stored it').check()
    await page.getByRole('button', { name: 'Done' }).click()
    await page.getByText('the last is created.').waitFor()
    await page.context().clearCookies()
    await page.evaluate("dispatchEvent(new Event('online'))")
    await page.getByRole('heading', { name: 'Your session is over' }).waitFor()
    expect(await page.getByText('the last is created.').count()).to.equal(0)
    expect(await page.getByRole('link', { name: 'Back' }).getAttribute('href')).to.equal(back)
    await picture('session-over')
  })

  it('who may only look finds nothing to change', async () => {
    const account = ownAccount()
    await createToken(owner(account), { name: 'seen' })
    const { page, stumbles, picture } = await open(account, {}, { can: ['read'] })
    await page.getByRole('link', { name: 'seen' }).waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('read-only')
    expect(await page.getByRole('button', { name: 'New token' }).count()).to.equal(0)
    await page.getByRole('link', { name: 'seen' }).click()
    await page.getByRole('heading', { name: 'History' }).waitFor()
    expect(await page.getByRole('button', { name: /^(Edit|Rotate|Revoke)$/ }).count()).to.equal(0)
  })

  it('operators see all accounts, and revoke there', async () => {
    const account = ownAccount()
    await createToken(owner(account), { name: 'of an owner' })
    const { page, stumbles, picture } = await open(
      ownAccount(),
      {},
      { can: ['read', 'write', 'operate'] },
      { scope: 'tokenledger:operator' },
    )
    await page.getByRole('button', { name: 'All accounts' }).click()
    await page.getByLabel('Search names and descriptions').fill('of an owner')
    await page.getByRole('cell', { name: account }).waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('operator')
    await page.getByRole('link', { name: 'of an owner', exact: true }).click()
    await page.getByRole('definition').getByText(account, { exact: true }).first().waitFor()
    await page.getByText('Account', { exact: true }).waitFor()
    expect(await stumbles()).to.deep.equal([])
    await picture('operator-details')
    await page.getByRole('button', { name: 'Revoke' }).click()
    await page.locator('dialog').getByRole('button', { name: 'Revoke' }).click()
    await page.getByText('of an owner is revoked.').waitFor()
  })

  for (const [look, options] of Object.entries({
    dark: { colorScheme: 'dark' as const },
    narrow: { viewport: { width: 320, height: 640 } },
    'narrow-dark': { viewport: { width: 320, height: 640 }, colorScheme: 'dark' as const },
  })) {
    it(`is whole when ${look}`, async () => {
      const account = ownAccount()
      const made = await createToken(owner(account), {
        name: 'A token with quite a long name, as people do give them in practice',
        description: 'Runs in the cluster, every night',
        scopes: ['orders:read'],
      })
      await createToken(owner(account), {
        name: 'Grafana',
        expires_at: new Date(Date.now() + 86_400_000).toISOString(),
      })
      await use(made.token, 2)
      const { page, stumbles, picture } = await open(account, options)
      const isWide = () => page.evaluate('document.documentElement.scrollWidth > innerWidth')
      await page.getByRole('link', { name: 'Grafana' }).waitFor()
      expect(await stumbles()).to.deep.equal([])
      expect(await isWide()).to.equal(false)
      await picture(`list-${look}`)
      await page.getByRole('button', { name: 'New token' }).click()
      expect(await stumbles()).to.deep.equal([])
      expect(await isWide()).to.equal(false)
      await picture(`create-${look}`)
      await page.keyboard.press('Escape')
      await page.getByRole('link', { name: /^A token/ }).click()
      await page.getByRole('listitem').getByText('Created').waitFor()
      await page.waitForLoadState('networkidle')
      expect(await stumbles()).to.deep.equal([])
      expect(await isWide()).to.equal(false)
      await picture(`details-${look}`)
    })
  }
})
