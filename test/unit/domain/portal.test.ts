import { expect } from 'chai'
import { parsePeppers } from '../../../src/domain/credential.ts'
import {
  LONGEST_TICKET,
  type PortalTicket,
  returnUrlOf,
  sealTicket,
  unsealTicket,
} from '../../../src/domain/portal.ts'

const pepper = (id: string, byte: number): string => `${id}:${Buffer.alloc(32, byte).toString('base64')}`
const [first, second] = [parsePeppers(pepper('k1', 1)), parsePeppers(`${pepper('k2', 2)},${pepper('k1', 1)}`)]
const TOKEN = 'tkl_fx1wPvbolaz8VZ6GDnW5NvJ2fWOkg7gHRomzl6OBAEA1v3gnH'
const JWT = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl'
const NONCE = Buffer.alloc(12, 3)
const ticket: PortalTicket = {
  id: '01956a40-1c00-7e11-8a2b-4c5d6e7f8091',
  accountId: 'acct_1',
  subject: 'ada',
  scopes: null,
  can: ['read'],
  returnUrl: null,
  expiresAt: 1,
}
const sealed = (): string => sealTicket(first[0] as (typeof first)[0], 'code', ticket, NONCE)

describe('a ticket of the portal', () => {
  it('is opened by whoever has the pepper, also when another one seals by now', () => {
    expect(unsealTicket(first, 'code', sealed())).to.deep.equal(ticket)
    expect(unsealTicket(second, 'code', sealed())).to.deep.equal(ticket)
  })

  it('shows nothing of what is in it', () => {
    const bytes = Buffer.from(sealed().split('.')[1] ?? '', 'base64url').toString('latin1')
    expect(bytes).to.not.include('acct_1')
    expect(sealed()).to.match(/^[\w.-]+$/)
  })

  it('of one kind does not pass for the other', () => {
    expect(unsealTicket(first, 'session', sealed())).to.equal(null)
  })

  it('that was changed in any character is none', () => {
    const text = sealed()
    for (let i = 0; i < text.length - 1; i++) {
      const changed = text.slice(0, i) + (text[i] === 'A' ? 'B' : 'A') + text.slice(i + 1)
      expect(unsealTicket(first, 'code', changed), String(i)).to.equal(null)
    }
  })

  for (const text of ['', '.', 'k1.', 'k1.AAAA', 'k3.AAAA', `k1.${'A'.repeat(LONGEST_TICKET)}`, 'k1.é']) {
    it(`is not ${JSON.stringify(text.slice(0, 20))}`, () => {
      expect(unsealTicket(first, 'code', text)).to.equal(null)
    })
  }
})

describe('a return URL', () => {
  const entries = [
    'https://app.example.com/settings',
    'https://other.example.com:8443/',
    'http://127.0.0.1:4000',
  ]
  for (const url of [
    'https://app.example.com/settings',
    'https://app.example.com/settings/tokens?tab=1#top',
    'https://app.example.com:443/settings/',
    'https://app.example.com/settings/.well-known/..x/...?at=../..#/../',
    'https://other.example.com:8443/anything',
    'http://127.0.0.1:4000/x',
  ]) {
    it(`may be ${url}`, () => expect(returnUrlOf(entries, url)).to.equal(new URL(url).href))
  }

  for (const url of [
    'https://app.example.com/',
    'https://app.example.com/settingsx',
    'https://app.example.com/settings/../admin',
    'https://app.example.com/settings/%2e%2e/admin',
    'https://app.example.com/settings/..%2fadmin',
    'https://app.example.com/settings/.well-known/../../evil',
    'https://app.example.com/settings/.well-known/%2e%2e/.%2E/evil',
    'https://app.example.com/settings/.well-known/..',
    'https://app.example.com/settings/.well-known/./evil',
    'https://app.example.com/settings/.well-known\\..\\..\\evil',
    'https://app.example.com/settings/.\t./.\n./evil',
    'https://app.example.com/settings/..;/evil',
    `https://app.example.com/settings?t=${TOKEN}`,
    `https://app.example.com/settings/${TOKEN.replace('_', '%5F')}`,
    `https://app.example.com/settings#${JWT}`,
    'https://app.example.com/settings\\..\\..\\admin',
    'https://app.example.com/settings/%5c..%5cadmin',
    'https://app.example.com@evil.example/settings',
    'https://user:pass@app.example.com/settings',
    'https://app.example.com:8443/settings',
    'http://app.example.com/settings',
    'https://app.example.com.evil.example/settings',
    'https://evil.example/https://app.example.com/settings',
    '//app.example.com/settings',
    '/settings',
    '\\\\evil.example/settings',
    'https:\\\\evil.example/settings',
    'javascript:alert(1)//app.example.com/settings',
    'data:text/html,x',
    'https://other.example.com/',
    '',
  ]) {
    it(`may not be ${url}`, () => expect(returnUrlOf(entries, url)).to.equal(null))
  }
})
