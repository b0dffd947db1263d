import Router from '@koa/router'
import { expect } from 'chai'
import Koa, { type Middleware } from 'koa'
import mount from 'koa-mount'
import { bearer, tokenHeader } from '../../support/callers/caller.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { type HostApp, served, startHost } from '../../support/processes/hostApp.ts'
import { jwtFor } from '../../support/processes/ledger.ts'

const JWT = bearer(jwtFor('acct_1'))
const DEFAULT = '/settings/api-tokens'

interface Shown {
  status: number
  headers: Headers
  // eslint-disable-next-line typescript/no-explicit-any
  body: any
}

async function ask(host: HostApp, method: string, path: string, init: RequestInit = {}): Promise<Shown> {
  const response = await fetch(host.url + path, {
    method,
    ...init,
    headers: { ...JWT, ...(init.headers as Record<string, string>) },
  })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    body: text.startsWith('{') ? JSON.parse(text) : text,
  }
}

const create = (host: HostApp, at: string, name = 'a token') =>
  ask(host, 'POST', at, {
    body: JSON.stringify({ name, scopes: ['orders:read'] }),
    headers: { 'Content-Type': 'application/json' },
  })

/** An app inside another one, with all routes of the ledger. */
function inner(ledger: HostApp['ledger'], prefix?: string): Koa {
  const app = new Koa()
  app.use(ledger.operationRoutes()).use(ledger.verifyRoutes())
  app.use(ledger.routes(prefix === undefined ? {} : { prefix }))
  return app
}

/** Express removes the part of the path that it has matched, and keeps the whole path beside it. */
const likeExpress =
  (prefix: string): Middleware =>
  (ctx, next) => {
    ;(ctx.req as { originalUrl?: string | undefined }).originalUrl = ctx.req.url
    const rest = ctx.url.slice(prefix.length)
    ctx.originalUrl = rest
    ctx.url = rest
    return next()
  }

const places: Record<
  string,
  { at: string; base?: string; use: (app: Koa, ledger: HostApp['ledger']) => void }
> = {
  'by default': { at: DEFAULT, use: (app, ledger) => app.use(mount(inner(ledger))) },
  'under a prefix': {
    at: '/account/tokens',
    use: (app, ledger) => app.use(mount(inner(ledger, '/account/tokens'))),
  },
  'by koa-mount': {
    at: `/api${DEFAULT}`,
    base: '/api',
    use: (app, ledger) => app.use(mount('/api', inner(ledger))),
  },
  'by koa-mount, twice, and under a prefix': {
    at: '/api/v1/tokens',
    base: '/api/v1',
    use(app, ledger) {
      const outer = new Koa()
      outer.use(mount('/v1', inner(ledger, '/tokens')))
      app.use(mount('/api', outer))
    },
  },
  'behind what takes a path off as Express does': {
    at: `/koa${DEFAULT}`,
    base: '/koa',
    use: (app, ledger) => app.use(likeExpress('/koa')).use(mount(inner(ledger))),
  },
}

for (const [how, { at, base = '', use }] of Object.entries(places)) {
  describe(`The routes, mounted ${how}`, () => {
    let host: HostApp
    before(async () => {
      host = await startHost((app, ledger) => {
        use(app, ledger)
        app.use(served)
      })
    })
    after(() => host.close())

    it('show the path that the caller sees in Location and Link', async () => {
      for (const path of [at, `${at}/`]) {
        const created = await create(host, path)
        expect(created.status).to.equal(201)
        const location = created.headers.get('location')
        expect(location).to.equal(`${at}/${created.body.id}`)
        expect((await ask(host, 'GET', String(location))).body.id).to.equal(created.body.id)
      }
      const list = await ask(host, 'GET', `${at}?limit=1&sort=name`)
      const [, next = ''] = /^<([^>]+)>; rel="next"$/.exec(list.headers.get('link') ?? '') ?? []
      expect(next).to.match(new RegExp(`^${at}\\?`))
      const second = await ask(host, 'GET', next)
      expect(second.body.data).to.have.lengthOf(1)
      expect(second.body.data[0].id).not.to.equal(list.body.data[0].id)
      const { id } = list.body.data[0]
      await ask(host, 'PATCH', `${at}/${id}`, {
        body: '{"name":"b"}',
        headers: { 'Content-Type': 'application/json' },
      })
      const events = await ask(host, 'GET', `${at}/${id}/events?limit=1`)
      expect(events.headers.get('link')).to.match(new RegExp(`^<${at}/${id}/events\\?`))
    })

    it('know /self, other methods and unknown paths there, and nothing elsewhere', async () => {
      const { body } = await create(host, at)
      const self = await fetch(`${host.url}${at}/self`, { headers: tokenHeader(body.token) })
      expect(((await self.json()) as { id: string }).id).to.equal(body.id)
      const put = await ask(host, 'PUT', `${at}/${body.id}`)
      expect([put.status, put.body.code]).to.deep.equal([405, 'method_not_allowed'])
      expect(put.headers.get('allow')).to.equal('HEAD, GET, PATCH, DELETE')
      expect((await ask(host, 'GET', `${at}/unknown`)).body.code).to.equal('not_found')
      if (at !== DEFAULT)
        expect((await ask(host, 'GET', `${base}/elsewhere/tokens`)).body.code).to.equal(undefined)
      expect((await ask(host, 'GET', `${at}x`)).body.code).to.equal(undefined)
    })

    it('are counted by that path', async () => {
      const { body } = await create(host, at)
      const headers = tokenHeader(body.token)
      await (await fetch(`${host.url}${at}/self`, { headers })).text()
      await (await fetch(`${host.url}${at}/${body.id}/usage?from=2020-01-01T00:00:00Z`, { headers })).text()
      await (await fetch(`${host.url}${base}/auth/verify`, { headers })).text()
      await eventually(async () => {
        const usage = await ask(host, 'GET', `${at}/${body.id}/usage`)
        expect(usage.body.routes.map(({ route }: { route: string }) => route)).to.have.members([
          `${at}/self`,
          `${at}/:id/usage`,
          `${base}/auth/verify`,
        ])
      })
    })

    it('are described where they are', async () => {
      const { body } = await ask(host, 'GET', `${base}/openapi.json`)
      const server = new URL(body.servers[0].url, `${host.url}${base}/openapi.json`).pathname.replace(
        /\/$/,
        '',
      )
      const paths = Object.keys(body.paths).map((path) => server + path)
      expect(paths).to.include.members([at, `${at}/{id}`, `${at}/self`, `${base}/auth/verify`])
      if (at !== DEFAULT) expect(paths).not.to.include(DEFAULT)
    })
  })
}

describe('A ledger that is mounted several times', () => {
  it('serves the same tokens at each place, and describes all of them', async () => {
    const host = await startHost((app, ledger) => {
      app.use(ledger.operationRoutes())
      app.use(ledger.routes())
      app.use(ledger.routes({ prefix: '/account/tokens' }))
      app.use(mount('/v2', ledger.routes()))
    })
    const { body } = await create(host, '/account/tokens')
    for (const at of [DEFAULT, '/account/tokens', `/v2${DEFAULT}`]) {
      expect((await ask(host, 'GET', `${at}/${body.id}`)).body.id, at).to.equal(body.id)
      const created = await create(host, at)
      expect(created.headers.get('location')).to.equal(`${at}/${created.body.id}`)
    }
    const description = (await ask(host, 'GET', '/openapi.json')).body
    expect(Object.keys(description.paths)).to.include.members([DEFAULT, '/account/tokens/{id}'])
    const ids = Object.values(description.paths as Record<string, Record<string, { operationId: string }>>)
      .flatMap((item) => Object.values(item))
      .map(({ operationId }) => operationId)
    expect(new Set(ids).size).to.equal(ids.length)
    await host.close()
  })
})

describe('A prefix that is no path', () => {
  it('is refused when the routes are made', async () => {
    const host = await startHost((app) => app.use(served))
    const bad = [
      '',
      '/',
      '//',
      'tokens',
      '/tokens/',
      '/a//b',
      '/a/../b',
      '/./a',
      '/..',
      '/a b',
      '/a?b',
      '/a#b',
      '/:account/tokens',
      '/*rest',
      '/a{b}',
      '/(a)',
      '/ü',
      '/a%20b',
      '/a\n',
      'http://host/a',
      ' /a',
      5,
      null,
      {},
    ]
    for (const prefix of bad) {
      expect(() => host.ledger.routes({ prefix: prefix as string }), JSON.stringify(prefix)).to.throw(
        TypeError,
        /prefix/,
      )
    }
    for (const prefix of ['/a', '/a/b-c', '/v1.0/tokens_~']) host.ledger.routes({ prefix })
    await host.close()
  })
})

describe("A host's own routes under a mount", () => {
  it('are counted by the pattern that the caller sees', async () => {
    const host = await startHost((app, ledger) => {
      const orders = new Router()
      orders.get('/orders/:id', served).get('/', served)
      orders.get('/files/*path', ledger.authenticate(), served)
      const nested = new Router()
      nested.use('/admin', new Router().get('/users/:id', served).routes())
      const late = new Router().get('/:any', served)
      app.use(ledger.routes())
      app.use(ledger.authenticate())
      app.use(mount('/api', new Koa().use(mount('/v1', new Koa().use(orders.routes()).use(nested.routes())))))
      app.use(mount('/plain', served))
      app.use(late.routes())
    })
    const { body } = await create(host, DEFAULT)
    for (const path of [
      '/api/v1/orders/17?x=1',
      '/api/v1',
      '/api/v1/files/a/b/c',
      '/api/v1/admin/users/3',
      '/plain/17',
      '/late',
    ]) {
      const response = await fetch(host.url + path, { headers: tokenHeader(body.token) })
      expect(response.status, path).to.equal(200)
      await response.text()
    }
    await eventually(async () => {
      const usage = await ask(host, 'GET', `${DEFAULT}/${body.id}/usage`)
      expect(usage.body.routes.map(({ route }: { route: string }) => route)).to.have.members([
        '/api/v1/orders/:id',
        '/api/v1/',
        '/api/v1/files/*path',
        '/api/v1/admin/users/:id',
        '/plain/17',
        '/:any',
      ])
    })
    await host.close()
  })
})
