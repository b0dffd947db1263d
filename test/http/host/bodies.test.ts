import { createRequire } from 'node:module'
import { request as httpRequest } from 'node:http'
import { gzipSync } from 'node:zlib'
import { expect } from 'chai'
import type { Context, Middleware } from 'koa'
import { koaBody } from 'koa-body'
import { bearer } from '../../support/callers/caller.ts'
import { type HostApp, startHost } from '../../support/processes/hostApp.ts'
import { jwtFor } from '../../support/processes/ledger.ts'

const require = createRequire(import.meta.url)
type Parser = (options?: object) => Middleware
const { bodyParser: koaBodyparser6 } = require('@koa/bodyparser') as { bodyParser: Parser }
const koaBodyparser4 = require('koa-bodyparser') as Parser

const TOKENS = '/settings/api-tokens'
const JSON_TYPE = { 'Content-Type': 'application/json' }
const MERGE = { 'Content-Type': 'application/merge-patch+json' }

/** Whether each parser leaves `rawBody`. */
const parsers: Record<string, { parser: Middleware; leavesText: boolean }> = {
  'koa-body': { parser: koaBody(), leavesText: false },
  'koa-body with its raw body': { parser: koaBody({ includeUnparsed: true }), leavesText: true },
  'koa-body with multipart': { parser: koaBody({ multipart: true }), leavesText: false },
  '@koa/bodyparser': { parser: koaBodyparser6(), leavesText: true },
  'koa-bodyparser': { parser: koaBodyparser4(), leavesText: true },
  '@koa/bodyparser that takes JSON for text': {
    parser: koaBodyparser6({ enableTypes: ['text'], extendTypes: { text: ['application/json'] } }),
    leavesText: true,
  },
  'koa-body that takes JSON for text': {
    parser: koaBody({ json: false, textTypes: ['application/json'] }),
    leavesText: false,
  },
}

interface Refusal {
  status: number
  code: string | undefined
}

async function send(
  host: HostApp,
  method: 'POST' | 'PATCH',
  body: string | Uint8Array | undefined,
  headers: Record<string, string> = JSON_TYPE,
  path = TOKENS,
): Promise<Refusal & { body: Record<string, unknown>; text: string }> {
  const response = await fetch(host.url + path, {
    method,
    headers: { ...bearer(jwtFor('acct_1')), ...headers },
    ...(body === undefined ? {} : { body: body as string }),
  })
  const text = await response.text()
  const json = text.startsWith('{') ? JSON.parse(text) : {}
  return { status: response.status, code: json.code, body: json, text }
}

/** Without `Content-Length`. */
const chunked = (
  host: HostApp,
  body: string,
  type: Record<string, string> = JSON_TYPE,
  path = TOKENS,
): Promise<number> =>
  new Promise((resolve, reject) => {
    const headers = { ...type, ...bearer(jwtFor('acct_1')), 'Transfer-Encoding': 'chunked' }
    const request = httpRequest(host.url + path, { method: 'POST', headers, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    request.on('error', reject)
    if (body !== '') request.write(body)
    request.end()
  })

const sized = (length: number) => `{"name":"x"${' '.repeat(length - 12)}}`

for (const [name, { parser, leavesText }] of Object.entries(parsers)) {
  describe(`A body that ${name} has parsed`, () => {
    let host: HostApp
    before(async () => {
      host = await startHost((app, ledger) => app.use(parser).use(ledger.routes()), {
        maxTokensPerAccount: 1_000,
      })
    })
    after(() => host.close())

    async function assertRefused(
      expected: Refusal,
      body: string | Uint8Array | undefined,
      headers?: Record<string, string>,
    ): Promise<void> {
      const { status, code } = await send(host, 'POST', body, headers)
      expect({ status, code }, `${String(body).slice(0, 60)} ${JSON.stringify(headers)}`).to.deep.equal(
        expected,
      )
    }

    it('creates and changes as without it', async () => {
      const created = await send(host, 'POST', '{"name":"CI ü 🚀","scopes":["orders:read"]}')
      expect([created.status, created.body.name]).to.deep.equal([201, 'CI ü 🚀'])
      const path = `${TOKENS}/${String(created.body.id)}`
      for (const type of [JSON_TYPE, MERGE]) {
        const changed = await send(host, 'PATCH', '{"scopes":null}', type, path)
        expect([changed.status, changed.body.scopes], type['Content-Type']).to.deep.equal([200, []])
      }
      expect((await send(host, 'PATCH', '{}', JSON_TYPE, path)).status).to.equal(200)
      expect((await send(host, 'POST', '{"name":"merge"}', MERGE)).status).to.equal(201)
      expect(await chunked(host, '{"name":"chunked"}')).to.equal(201)
      const charset = { 'Content-Type': 'application/json; charset=utf-8' }
      expect((await send(host, 'POST', '{"name":"x"}', charset)).status).to.equal(201)
    })

    it('leaves routes without a body alone', async () => {
      const { status } = await fetch(host.url + TOKENS, { headers: bearer(jwtFor('acct_1')) })
      expect(status).to.equal(200)
      const created = await send(host, 'POST', '{"name":"to be revoked"}')
      const revoked = await fetch(`${host.url}${TOKENS}/${String(created.body.id)}`, {
        method: 'DELETE',
        headers: { ...bearer(jwtFor('acct_1')), ...JSON_TYPE },
        body: '{}',
      })
      expect(revoked.status).to.equal(204)
    })

    it('is of a type that is not JSON: 415', async () => {
      const refused = { status: 415, code: 'unsupported_media_type' }
      const multipart = '--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nCI\r\n--x--\r\n'
      await assertRefused(refused, 'name=CI', { 'Content-Type': 'application/x-www-form-urlencoded' })
      await assertRefused(refused, '{"name":"x"}', { 'Content-Type': 'text/plain' })
      await assertRefused(refused, multipart, { 'Content-Type': 'multipart/form-data; boundary=x' })
      await assertRefused(refused, '<name/>', { 'Content-Type': 'application/xml' })
      await assertRefused(refused, '[]', { 'Content-Type': 'application/json-patch+json' })
      await assertRefused(refused, '{"name":"x"}', { 'Content-Type': 'application/vnd.api+json' })
      await assertRefused(refused, '{"name":"x"}', { 'Content-Type': 'application/json; charset=us-ascii' })
      await assertRefused(refused, Buffer.from('{"name":"x"}'), {})
    })

    it('is missing: 400', async () => {
      const refused = { status: 400, code: 'malformed_request' }
      await assertRefused(refused, undefined)
      await assertRefused(refused, '')
      await assertRefused(refused, undefined, {})
      expect(await chunked(host, '')).to.equal(400)
    })

    it('is missing where it may be: as if it were {}', async () => {
      const created = await send(host, 'POST', '{"name":"x"}')
      const rotations = `${TOKENS}/${String(created.body.id)}/rotations`
      for (const type of [JSON_TYPE, {}]) {
        expect(await chunked(host, '', type, rotations), JSON.stringify(type)).to.equal(201)
        expect((await send(host, 'POST', undefined, type, rotations)).status).to.equal(201)
      }
      expect(await chunked(host, '{"grace_seconds":5}', JSON_TYPE, rotations)).to.equal(201)
      expect(await chunked(host, '{"grace":5}', JSON_TYPE, rotations)).to.equal(422)
      expect(await chunked(host, 'x', {}, rotations)).to.equal(415)
    })

    it('is JSON and no object: 422', async () => {
      for (const body of ['[]', '[{"name":"x"}]']) {
        await assertRefused({ status: 422, code: 'validation_failed' }, body)
      }
    })

    it('has members that no route knows: 422', async () => {
      await assertRefused({ status: 422, code: 'validation_failed' }, '{"name":"x","admin":true}')
      await assertRefused({ status: 422, code: 'validation_failed' }, '{}')
    })

    it('is larger than 32 KiB: 413', async () => {
      const refused = { status: 413, code: 'payload_too_large' }
      expect((await send(host, 'POST', sized(32 * 1024))).status).to.equal(201)
      await assertRefused(refused, sized(32 * 1024 + 1))
      if (leavesText) {
        await assertRefused(refused, gzipSync(sized(40_000)), { ...JSON_TYPE, 'Content-Encoding': 'gzip' })
        expect(await chunked(host, sized(40_000))).to.equal(413)
      }
    })

    it('is not UTF-8: 400, where its text was left', async () => {
      const bytes = Buffer.concat([Buffer.from('{"name":"a'), Buffer.from([0xff]), Buffer.from('"}')])
      if (leavesText) await assertRefused({ status: 400, code: 'malformed_request' }, bytes)
    })

    it('has nothing of it in the log', () => {
      expect(host.lines.filter(({ level }) => level === 'error')).to.deep.equal([])
      expect(host.errors).to.deep.equal([])
    })
  })
}

describe('A body in strict or loose JSON', () => {
  it('that is no object is the same as without a parser', async () => {
    const host = await startHost((app, ledger) =>
      app.use(koaBody({ jsonStrict: false, includeUnparsed: true })).use(ledger.routes()),
    )
    for (const body of ['"text"', '""', '1', 'null', 'true', '[1]', '"{\\"name\\":\\"x\\"}"']) {
      const { status, code } = await send(host, 'POST', body)
      expect([status, code], body).to.deep.equal([422, 'validation_failed'])
    }
    await host.close()
  })

  it('is whatever a parser has left, also without its text', async () => {
    const host = await startHost((app, ledger) =>
      app.use(koaBody({ jsonStrict: false })).use(ledger.routes()),
    )
    for (const body of ['"text"', '1', 'null', '[1]', '"{\\"name\\":\\"x\\"}"']) {
      expect((await send(host, 'POST', body)).status, body).to.equal(422)
    }
    await host.close()
  })

  it('may be changed by the host after it was parsed', async () => {
    const rename: Middleware = (ctx, next) => {
      ctx.request.body = { name: (ctx.request.body as { title: string }).title }
      return next()
    }
    const host = await startHost((app, ledger) => app.use(koaBodyparser6()).use(rename).use(ledger.routes()))
    expect((await send(host, 'POST', '{"title":"of the host"}')).body.name).to.equal('of the host')
    await host.close()
  })

  it("stays the host's own: it may be frozen, and no default is put into it", async () => {
    const left: unknown[] = []
    const freeze: Middleware = async (ctx, next) => {
      Object.freeze(ctx.request.body)
      await next()
      left.push(ctx.request.body)
    }
    const host = await startHost((app, ledger) => app.use(koaBodyparser6()).use(freeze).use(ledger.routes()))
    const { body } = await send(host, 'POST', '{"name":"x"}')
    const rotations = `${TOKENS}/${String(body.id)}/rotations`
    expect((await send(host, 'POST', '{"grace_seconds":5}', JSON_TYPE, rotations)).status).to.equal(201)
    expect(left).to.deep.equal([{ name: 'x' }, { grace_seconds: 5 }])
    await host.close()
  })
})

describe('A body that somebody has consumed', () => {
  const consume: Middleware = async (ctx, next) => {
    for await (const _ of ctx.req) continue
    await next()
  }
  const swallowing: Parser = () => async (ctx, next) => {
    await koaBodyparser6()(ctx, async () => {}).catch(() => {})
    await next()
  }

  const cases: Record<string, { middleware: Middleware; body: string }> = {
    'and left nowhere': { middleware: consume, body: '{"name":"x"}' },
    'and left elsewhere': { middleware: koaBody({ patchKoa: false, patchNode: true }), body: '{"name":"x"}' },
    'and found to be broken, and went on': { middleware: swallowing(), body: '{"name":' },
  }
  for (const [what, { middleware, body }] of Object.entries(cases)) {
    it(`${what} is a 500 that says so in the log, and to the app`, async () => {
      const host = await startHost((app, ledger) => app.use(middleware).use(ledger.routes()))
      const { status, code, body: problem, text } = await send(host, 'POST', body)
      expect([status, code]).to.deep.equal([500, 'internal_error'])
      expect(text).not.to.contain('body')
      const [line] = host.lines.filter(({ level }) => level === 'error')
      expect(line?.fields.err).to.have.property('message').that.contains('ctx.request.body')
      expect(line?.fields.requestId).to.equal(problem.request_id)
      expect(host.errors).to.have.lengthOf(1)
      await host.close()
    })
  }

  it('as bytes or text, and left as such, is read', async () => {
    const leave =
      (put: (ctx: Context, bytes: Buffer) => void): Middleware =>
      async (ctx, next) => {
        const chunks: Buffer[] = []
        for await (const chunk of ctx.req) chunks.push(chunk as Buffer)
        put(ctx, Buffer.concat(chunks))
        await next()
      }
    const ways: ((ctx: Context, bytes: Buffer) => void)[] = [
      (ctx, bytes) => void ((ctx.request as { body?: unknown }).body = bytes),
      (ctx, bytes) => void (ctx.request.body = bytes.toString()),
      (ctx, bytes) => void ((ctx.request as { rawBody?: unknown }).rawBody = bytes.toString()),
      (ctx, bytes) => void ((ctx.request as { rawBody?: unknown }).rawBody = bytes),
    ]
    for (const way of ways) {
      const host = await startHost((app, ledger) => app.use(leave(way)).use(ledger.routes()))
      expect((await send(host, 'POST', '{"name":"x ü"}')).body.name, String(way)).to.equal('x ü')
      expect((await send(host, 'POST', '{"name":')).status, String(way)).to.equal(400)
      await host.close()
    }
  })
})
