import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect } from 'chai'
import { bearer, callerOf, createToken } from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

describe('The description at /openapi.json', () => {
  let service: TestService
  before(async () => {
    service = await startLedger()
  })
  after(() => service.close())

  it('is a valid OpenAPI 3.1 document', async () => {
    const response = await fetch(`${service.url}/openapi.json`)
    const document = (await response.json()) as Record<string, unknown>
    const validator = new Validator()
    const result = await validator.validate(document)
    expect(result.errors ?? []).to.deep.equal([])
    expect(result.valid).to.equal(true)
    expect(validator.version).to.equal('3.1')
  })

  it('says what a name, a reason, a scope, a key, a cursor and a moment may be', async () => {
    const response = await fetch(`${service.url}/openapi.json`)
    const { paths } = (await response.json()) as Paths
    const list = paths['/settings/api-tokens']
    const one = paths['/settings/api-tokens/{id}']
    const bodyOf = (operation?: Described) =>
      operation?.requestBody?.content['application/json']?.schema.properties
    const inQuery = (name: string, operation?: Described) =>
      operation?.parameters.find((parameter) => parameter.name === name)?.schema
    const ajv = new Ajv2020({ formats: { 'date-time': /^\d{4}-\d\d-\d\dT/ }, strict: false })
    const says = (schema: object | undefined, value: unknown): boolean => ajv.validate(schema ?? false, value)
    for (const schema of [bodyOf(list?.post)?.name, bodyOf(one?.patch)?.name]) {
      for (const good of [
        'CI deploy',
        ' a ',
        '\n a\u0085',
        'a\u200d',
        '鍵',
        'x'.repeat(100),
        `\n${'x'.repeat(100)}${' '.repeat(50)}`,
      ])
        expect(says(schema, good), JSON.stringify(good)).to.equal(true)
      for (const bad of ['', '  ', '\u200b', '\u3164\u2800', 'a\nb', 'a\u202eb', 'x'.repeat(101), null])
        expect(says(schema, bad), JSON.stringify(bad)).to.equal(false)
    }
    for (const [schema, good, bad] of [
      [inQuery('reason', one?.delete), ['', 'left the company'], ['a\nb', 'a\u0000', 'x'.repeat(201)]],
      [bodyOf(list?.post)?.scopes, [[], ['orders:read']], [['Orders'], [''], 'a']],
      [bodyOf(one?.patch)?.scopes, [null, ['a']], [['A']]],
      [inQuery('Idempotency-Key', list?.post), ['a', 'x'.repeat(255)], ['', 'a b', 'é', 'x'.repeat(256)]],
      [inQuery('cursor', list?.get), ['WyJh_-'], ['', '=', 'a b']],
      [inQuery('at', one?.get), ['0', '2026-11-22T08:00:00Z'], ['', '-1', 'then', '1234567890']],
    ] as const) {
      for (const value of good) expect(says(schema, value), JSON.stringify(value)).to.equal(true)
      for (const value of bad) expect(says(schema, value), JSON.stringify(value)).to.equal(false)
    }
  })

  it('groups its operations under headings that say what they are about', async () => {
    const { paths, tags = [] } = (await (await fetch(`${service.url}/openapi.json`)).json()) as Paths
    const used = Object.values(paths).flatMap((item) => Object.values(item).map((one) => one.tags?.join()))
    expect(new Set(used)).to.deep.equal(new Set(tags.map(({ name }) => name)))
    expect(tags.map(({ name }) => name)).to.deep.equal([
      'Tokens',
      'Rotation',
      'Usage',
      'Events',
      'Authentication',
      'Operators',
      'Operation',
    ])
    for (const { description } of tags) expect(description).to.match(/^[A-Z].*[.?]$/)
  })

  it('allows at a path of its own what is served there', async () => {
    for (const [path, allowed] of [
      ['/settings/api-tokens/report', 'HEAD, GET'],
      ['/settings/api-tokens/self', 'HEAD, GET, DELETE'],
    ] as const) {
      const { status, headers } = await fetch(service.url + path, { method: 'OPTIONS' })
      expect([status, headers.get('allow')]).to.deep.equal([405, allowed])
    }
  })

  it('names each operation once, and each parameter of a path', async () => {
    const response = await fetch(`${service.url}/openapi.json`)
    const { paths } = (await response.json()) as Paths
    const operations = Object.entries(paths).flatMap(([path, item]) =>
      Object.values(item).map((operation) => ({ path, ...operation })),
    )
    const ids = operations.map(({ operationId }) => operationId)
    expect(new Set(ids).size).to.equal(ids.length)
    for (const { path, parameters } of operations) {
      const described = parameters
        .filter((parameter) => parameter.in === 'path')
        .map(({ name }) => `{${name}}`)
      expect(described, path).to.have.members(path.match(/\{\w+\}/g) ?? [])
    }
  })
})

describe('The examples of the description', () => {
  const OPERATOR = bearer(jwtFor('acct_1', { scope: 'tokenledger:operator shop:sell' }))
  let service: TestService
  before(async () => {
    service = await startLedger({
      publicUrl: 'http://127.0.0.1',
      scopes: [{ name: 'shop:sell' }, { name: 'shop:buy' }],
      tokenMaxLifetimeDays: 7,
    })
  })
  after(() => service.close())

  it('are accepted as they stand, under these settings', async () => {
    const { id } = await createToken(callerOf(service.url, OPERATOR), {
      expires_at: new Date(Date.now() + 3_600_000).toISOString(),
    })
    const { paths } = (await (await fetch(`${service.url}/openapi.json`)).json()) as Paths
    const answers: Record<string, number> = {}
    for (const [path, item] of Object.entries(paths))
      for (const [method, { operationId, requestBody }] of Object.entries(item))
        for (const [type, { example }] of Object.entries(requestBody?.content ?? {})) {
          if (path.includes('/self/')) continue
          const headers = { ...OPERATOR, 'Content-Type': type }
          const init = { method: method.toUpperCase(), headers, body: JSON.stringify(example) }
          const answer = await fetch(service.url + path.replace('{id}', id), init)
          expect(answer.ok, `${operationId}: ${await answer.clone().text()}`).to.equal(true)
          answers[operationId] = answer.status
        }
    expect(Object.keys(answers)).to.have.members([
      'createToken',
      'updateToken',
      'rotateToken',
      'checkAllowedIps',
      'createPortalSession',
      'revokeTokens',
    ])
  })

  it('stand in no parameter that means something else when it is left out', async () => {
    const { paths } = (await (await fetch(`${service.url}/openapi.json`)).json()) as Paths
    const filledIn = Object.values(paths).flatMap((item) =>
      Object.values(item).flatMap(({ parameters }) =>
        parameters.filter(({ in: place, schema }) => place === 'query' && 'example' in schema),
      ),
    )
    expect(new Set(filledIn.map(({ name }) => name))).to.deep.equal(new Set(['types']))
  })
})

interface Described {
  operationId: string
  tags?: string[]
  parameters: { name: string; in: string; schema: object }[]
  requestBody?: {
    content: Record<string, { schema: { properties: Record<string, object> }; example?: object }>
  }
}
interface Paths {
  tags?: { name: string; description: string }[]
  paths: Record<string, Record<string, Described>>
}
