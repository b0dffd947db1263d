import { expect } from 'chai'
import type { TokenLedger } from '../../../src/index.ts'
import { bearer } from '../../support/callers/caller.ts'
import { startHost } from '../../support/processes/hostApp.ts'
import { jwtFor, startLedger, type TestService } from '../../support/processes/ledger.ts'

/** Values that JavaScript without types, or a variable that is not set, would bring. */
const NO_OBJECT = [null, 7, true, 'text', ['text'], () => ({})]
const NO_TEXT = [null, 7, true, ['text'], {}, () => 'text']
const NO_CHOICE = [null, 0, 1, 'false', 'true', {}, []]
const NO_FUNCTION = [null, 7, true, 'text', {}, []]

type Call = (ledger: TokenLedger, given: never) => unknown

/** What is called with arguments that are none, by how it is written. */
const calls: [written: string, call: Call, given: readonly unknown[]][] = [
  ['authenticate(…)', (ledger, given) => ledger.authenticate(given), NO_OBJECT],
  ['authenticate({ optinal })', (ledger) => ledger.authenticate({ optinal: true } as never), [true]],
  ['authenticate({ optional })', (ledger, optional) => ledger.authenticate({ optional }), NO_CHOICE],
  [
    'requireScope(scope)',
    (ledger, scope) => ledger.requireScope(scope),
    [undefined, ...NO_TEXT, '', ' ', 'Orders Read', 'orders read', 'Orders', ':a', 'a'.repeat(65)],
  ],
  ['routes(…)', (ledger, given) => ledger.routes(given), NO_OBJECT],
  ['routes({ prefix })', (ledger, prefix) => ledger.routes({ prefix }), [...NO_TEXT, '', 'tokens']],
  ['page(…)', (ledger, given) => ledger.page(given), NO_OBJECT],
  ['page({ prefix })', (ledger, prefix) => ledger.page({ prefix }), [...NO_TEXT, '', 'tokens']],
  ['page({ title })', (ledger, title) => ledger.page({ title }), NO_TEXT],
  ['page({ lang })', (ledger, lang) => ledger.page({ lang }), [...NO_TEXT, ['en'], 'english!']],
  ['page({ theme })', (ledger, theme) => ledger.page({ theme }), NO_OBJECT],
  ['page({ darkTheme })', (ledger, darkTheme) => ledger.page({ darkTheme }), NO_OBJECT],
  ['page({ theme.accent })', (ledger, accent) => ledger.page({ theme: { accent } }), [...NO_TEXT, ['red']]],
  ['page({ texts })', (ledger, texts) => ledger.page({ texts }), NO_OBJECT],
  ['page({ tryUrl })', (ledger, tryUrl) => ledger.page({ tryUrl }), NO_TEXT],
  ['page({ returnUrl })', (ledger, returnUrl) => ledger.page({ returnUrl }), NO_TEXT],
  ['operationRoutes(…)', (ledger, given) => ledger.operationRoutes(given), NO_OBJECT],
  ['operationRoutes({ metrics })', (ledger, metrics) => ledger.operationRoutes({ metrics }), NO_CHOICE],
  ['observe(write)', (ledger, write) => ledger.observe(write), NO_FUNCTION],
  [
    'observeServer(load)',
    (ledger, load) => ledger.observeServer(load),
    [
      undefined,
      ...NO_OBJECT,
      {},
      { connections: () => 1, waiting: () => 1, unsentBytes: () => 1, cutOff: 1 },
    ],
  ],
]

describe('What is called wrong', () => {
  let service: TestService

  before(async () => {
    service = await startLedger({ publicUrl: 'https://app.example.com' })
  })
  after(() => service.close())

  for (const [written, call, given] of calls) {
    it(`says so at once, and not to each request: ${written}`, () => {
      const name = written.replace(/[({…].*/, '')
      for (const value of given) {
        const shown = `${written} with ${typeof value} ${JSON.stringify(value)}`
        expect(() => call(service.ledger, value as never), shown).to.throw(
          TypeError,
          new RegExp(`^${name}\\(`),
        )
      }
    })
  }

  it('is refused where it can be noticed only when it is used: verify(credential, options)', async () => {
    for (const options of [7, true, 'GET', ['GET'], { methd: 'GET' }, { method: 7 }]) {
      const rejected = await service.ledger.verify('x', options as never).catch((error: unknown) => error)
      expect(String(rejected), JSON.stringify(options)).to.match(/^TypeError: verify\(/)
    }
  })

  it('is no page to which links could lead', async () => {
    const host = await startHost(
      (app, ledger) => {
        expect(() => ledger.page({ prefix: '/refused', lang: 'english!' })).to.throw(TypeError)
        app.use(ledger.portalRoutes()).use(ledger.page({ prefix: '/mine' }))
      },
      { publicUrl: 'https://app.example.com' },
    )
    const headers = bearer(jwtFor('acct_1'))
    const answer = await fetch(`${host.url}/settings/portal-sessions`, { method: 'POST', headers })
    expect(((await answer.json()) as { url: string }).url).to.match(/^https:\/\/app\.example\.com\/mine#/)
    await host.close()
  })

  it('is not what is left out', () => {
    const { ledger } = service
    for (const left of [undefined, {}]) {
      ledger.authenticate(left)
      ledger.routes(left)
      ledger.page(left)
      ledger.operationRoutes(left)
    }
    ledger.authenticate({ optional: undefined })
    ledger.operationRoutes({ metrics: undefined })
    ledger.observe(undefined)
  })

  it('is not a scope that the catalogue lacks: a JWT may have it', () => {
    service.ledger.requireScope('orders:read')
    service.ledger.requireScope('a'.repeat(64))
  })
})
