import { expect } from 'chai'
import { createToken, TOKENS } from '../support/callers/caller.ts'
import { describeWithBrowser } from '../support/processes/browser.ts'
import { keyboard, mouse } from '../support/processes/hands.ts'
import { pageVisits } from '../support/processes/pageVisits.ts'
import { eventually } from '../support/suite/eventually.ts'

const SECRET = /^tkl_[0-9A-Za-z]{49}$/

for (const [by, hand] of Object.entries({ mouse, keyboard })) {
  describeWithBrowser(`The page, by ${by} alone`, function () {
    this.timeout(120_000)
    const { open, owner, ownAccount, use } = pageVisits()
    const { press, check, fill, choose } = hand

    it('makes a token, and its secret is copied', async () => {
      const account = ownAccount()
      const { page } = await open(account, { permissions: ['clipboard-read', 'clipboard-write'] })
      const button = (name: string | RegExp) => page.getByRole('button', { name }).first()
      await press(button('New token'))
      await fill(page.getByLabel('Name', { exact: true }), 'CI deploy')
      await check(page.getByLabel('60 days'))
      await page.getByText(/^Expires on /).waitFor()
      await check(page.getByLabel(/orders:read/))
      await press(button('Create token'))
      const secret = await page.getByLabel('Secret', { exact: true }).inputValue()
      expect(secret).to.match(SECRET)
      await press(button('Copy'))
      await page.getByText('Copied').waitFor()
      expect(await page.evaluate('navigator.clipboard.readText()')).to.equal(secret)
      await check(page.getByLabel('I have stored it'))
      await press(button('Done'))
      await eventually(async () =>
        expect(await page.evaluate('document.activeElement.textContent')).to.equal('CI deploy'),
      )
      const { data } = (await owner(account).get(TOKENS)).body
      expect(data.map(({ scopes }) => scopes)).to.deep.equal([['orders:read']])
      const days = (Date.parse(data[0]?.expires_at ?? '') - Date.now()) / 86_400_000
      expect(days).to.be.within(59.9, 60)
    })

    it('changes it, rotates it, drops the new secret and revokes it', async () => {
      const account = ownAccount()
      const { id } = await createToken(owner(account), { name: 'export' })
      const { page } = await open(account)
      const button = (name: string) => page.getByRole('button', { name, exact: true })
      const inDialog = (name: string) => page.locator('dialog').getByRole('button', { name })
      await press(page.getByRole('link', { name: 'export' }))

      await press(button('Edit'))
      await fill(page.getByLabel(/^Description/), 'every night')
      await press(inDialog('Save'))
      await page.getByText('export is saved.').waitFor()
      expect(await page.locator('.lead').textContent()).to.equal('every night')

      await press(button('Rotate'))
      await check(page.getByLabel(/1 hour after/))
      await press(inDialog('Get the new secret'))
      await check(page.getByLabel('I have stored it'))
      await press(inDialog('Done'))
      await page.getByRole('heading', { name: /waiting for its first use/ }).waitFor()
      const { body } = await owner(account).get(`${TOKENS}/${id}`)
      expect(body.rotation).to.include({ status: 'pending' })

      await press(button('Drop the new secret'))
      await press(inDialog('Drop the new secret'))
      await page.getByText('The rotation has ended.').waitFor()
      await button('Drop the new secret').waitFor({ state: 'detached' })
      // What had the focus is gone. It is at the tokens now, not lost.
      expect(await page.evaluate('document.activeElement.id')).to.equal('tokens')

      await press(button('Revoke'))
      await fill(page.getByLabel('Reason'), 'no use')
      await press(inDialog('Revoke'))
      await page.getByText('export is revoked.').waitFor()
      await page.getByRole('listitem').getByText('no use').waitFor()
      expect((await owner(account).get(`${TOKENS}/${id}`)).body.status).to.equal('revoked')
    })

    it('looks at what it did, what it was, and who would be shut out', async () => {
      const account = ownAccount()
      const made = await createToken(owner(account), { name: 'watched' })
      await use(made.token, 2)
      await eventually(async () => {
        const { body } = await owner(account).get(`${TOKENS}/${made.id}/usage`)
        expect(body.total.requests).to.equal(2)
      })
      const { page } = await open(account)
      await press(page.getByRole('link', { name: 'watched' }))
      await press(page.getByRole('button', { name: '7 days' }))
      await page.getByRole('img', { name: '7 days: 2 requests' }).waitFor()
      await press(page.locator('summary', { hasText: 'As a table' }))
      await page.getByRole('columnheader', { name: 'Succeeded' }).waitFor()
      await press(page.getByRole('button', { name: /^As of/ }).first())
      await page.getByRole('heading', { name: /^As it was on/ }).waitFor()
      await press(page.getByRole('button', { name: 'Close' }))
      const blast = page.locator('section', { has: page.getByRole('heading', { name: 'Blast radius' }) })
      await press(blast.getByRole('button', { name: 'Show' }))
      await blast.getByText('127.0.0.1').waitFor()
      await press(page.getByRole('button', { name: 'Edit' }))
      await fill(page.getByLabel(/^Allowed addresses/), '203.0.113.0/24')
      await press(page.getByRole('button', { name: 'Who would be shut out?' }))
      await page.getByText('127.0.0.1 · 2 requests').waitFor()
      await press(page.getByRole('button', { name: 'Cancel' }))
      await press(page.getByRole('link', { name: /All tokens/ }))
      await eventually(async () =>
        expect(await page.evaluate('document.activeElement.textContent')).to.equal('watched'),
      )
    })

    it('finds tokens, and revokes several', async () => {
      const account = ownAccount()
      for (const name of ['stays', 'zeta', 'beta', 'alpha']) await createToken(owner(account), { name })
      const { page } = await open(account)
      await choose(page.getByLabel('Sort by'), 'Name')
      await eventually(async () =>
        expect(await page.locator('td.name a').allTextContents()).to.deep.equal([
          'alpha',
          'beta',
          'stays',
          'zeta',
        ]),
      )
      await check(page.getByLabel('Select alpha'))
      await check(page.getByLabel('Select beta'))
      await press(page.getByRole('button', { name: 'Revoke selected…' }))
      await press(page.locator('dialog').getByRole('button', { name: 'Revoke' }))
      await page.getByText('2 tokens are revoked.').waitFor()
      await eventually(async () =>
        expect(await page.evaluate('document.activeElement.textContent')).to.equal('stays'),
      )
      await fill(page.getByLabel('Search names and descriptions'), 'zet')
      await page.getByText('1 token shown').waitFor()
      await press(page.getByRole('button', { name: '2 Never expire' }))
      await page.getByText('1 token shown').waitFor()
      expect(new URL(page.url()).searchParams.get('only')).to.equal('never')
    })

    it('signs out', async () => {
      const { page } = await open(ownAccount())
      await press(page.getByRole('button', { name: 'Sign out' }))
      await page.getByRole('heading', { name: 'You are signed out.' }).waitFor()
      await page.reload()
      await page.getByRole('heading', { name: 'Nobody is logged in here.' }).waitFor()
    })
  })
}
