import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'
import { MongoClient } from 'mongodb'
import { projections } from '../../projections/index.ts'
import { openDatabase } from '../../src/adapters/sqlite/database/database.ts'
import {
  type Api,
  type Body,
  bearer,
  callerOf,
  createToken,
  TOKENS,
  tokenHeader,
} from '../support/callers/caller.ts'
import { eventually } from '../support/suite/eventually.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'
import { describeWithMongod, type Mongod, startMongod } from '../support/stores/mongod.ts'
import { projectRoot } from '../support/project/package.ts'

const DOCUMENT = readFileSync(join(projectRoot, 'docs/schema.md'), 'utf8')
/** In the examples it stands for a token of the reader's. */
const SOME_TOKEN = '00000000-0000-7000-8000-000000000000'
const NOW = Date.parse('2026-11-23T12:00:00.000Z')
const NOVEMBER = 'from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z'

type ResultRow = Record<string, unknown>
interface Example {
  title: string
  sql: string
  collection: string
  pipeline: object[]
}

const examples: Example[] = DOCUMENT.split('\n### ')
  .slice(1)
  .map((section) => {
    const [, sql = ''] = /```sql\n([\s\S]*?)```/.exec(section) ?? []
    const [, collection = '', pipeline = '[]'] =
      /```js\ndb\.(\w+)\.aggregate\(([\s\S]*?)\)\n```/.exec(section) ?? []
    return { title: section.split('\n')[0] ?? '', sql, collection, pipeline: JSON.parse(pipeline) }
  })

/** The answer of the API to the question of each example. */
const answers: Record<string, (api: Api, token: string) => Promise<ResultRow[]>> = {
  'Requests of an account per day, by status': async (api) => {
    const { buckets } = (await api.get(`${TOKENS}/usage?${NOVEMBER}`)).body
    return buckets.flatMap(({ at, outcomes }) =>
      Object.entries(outcomes)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([outcome, requests]) => ({ day: at.slice(0, 10), outcome, requests })),
    )
  },
  'Routes of an account, most used first': async (api) => {
    const { routes } = (await api.get(`${TOKENS}/usage?${NOVEMBER}`)).body
    return routes.map(({ method, route, requests }) => ({ route: `${method} ${route}`, requests }))
  },
  'Tokens by requests, most used first': async (api) => {
    const { top } = (await api.get(`${TOKENS}/report?${NOVEMBER}`)).body as unknown as { top: Body }
    return top.data.map(({ token_id: token, name, requests }) => ({ token, name, requests }))
  },
  'Active tokens that were never used, oldest first': async (api) => {
    const report = (await api.get(`${TOKENS}/report`)).body as unknown as { never_used: Body }
    return report.never_used.data.map(({ token_id: token }) => ({ token }))
  },
  'Addresses of a token since a time': async (api, token) => {
    const { body } = await api.get(`${TOKENS}/${token}/blast-radius?since=2026-11-23T12:00:00Z`)
    const { addresses } = body as unknown as { addresses: { data: { ip: string; requests: number }[] } }
    return addresses.data.map(({ ip: address, requests }) => ({ address, requests }))
  },
  'Who revoked what, newest first': async (api) => {
    const revoked = (await api.get(`${TOKENS}?status=revoked`)).body.data
    const histories = revoked.map(({ id }) => api.get(`${TOKENS}/${id}/events`))
    const events = (await Promise.all(histories)).flatMap(({ body }) =>
      body.data.filter(({ type }) => type === 'TokenRevoked'),
    )
    return events
      .map(({ at, actor }, i) => ({ token: revoked[i]?.id, at, kind: actor.kind, actor: actor.id }))
      .sort((a, b) => (a.at > b.at ? -1 : 1))
  },
}

interface Store {
  options(): Promise<{ readModelUrl?: string }>
  /** @returns rows in the form of the example */
  ask(example: Example, service: TestService, token: string): Promise<ResultRow[]>
}

function examplesHold({ options, ask }: Store): void {
  let service: TestService
  let api: Api
  let used: Body
  let now = NOW

  before(async () => {
    service = await startLedger({
      clock: () => now,
      trustProxyHops: 1,
      verifyRequestHeaders: 'x-original',
      ...(await options()),
    })
    api = callerOf(service.url, bearer(jwtFor('acct_1')))
    const make = async (name: string) => {
      now += 1000
      return createToken(api, { name })
    }
    now = NOW - 3 * 86_400_000
    used = await make('used')
    const other = await make('other')
    await make('resting')
    await make('resting too')
    const gone = await make('gone')
    const uses = async (token: Body, route: string, ip: string, times: number) => {
      for (let i = 0; i < times; i++) {
        await callerOf(service.url, tokenHeader(token.token)).get('/auth/verify', {
          'X-Original-URI': route,
          'X-Forwarded-For': ip,
        })
      }
    }
    await uses(used, '/earlier', '192.0.2.7', 2)
    await uses(gone, '/earlier', '192.0.2.7', 5)
    now = NOW
    await uses(used, '/orders', '192.0.2.1', 3)
    await uses(used, '/__proto__', '203.0.113.9', 1)
    await uses(other, '/orders', '192.0.2.1', 1)
    await callerOf(service.url, { ...tokenHeader(used.token), 'X-Forwarded-For': '192.0.2.1' }).get(
      `${TOKENS}/nothing`,
    )
    await api.delete(`${TOKENS}/${gone.id}`)
    now += 1000
    await callerOf(service.url, { ...tokenHeader(other.token), 'X-Forwarded-For': '::1' }).delete(
      `${TOKENS}/self`,
    )
    await eventually(async () => {
      const { total } = (await api.get(`${TOKENS}/usage?${NOVEMBER}`)).body
      expect(total.requests).to.equal(14)
    })
  })
  after(() => service.close())

  for (const example of examples) {
    it(example.title, async () => {
      const expected = await answers[example.title]?.(api, used.id)
      expect(expected).to.have.length.above(1)
      expect(await ask(example, service, used.id)).to.deep.equal(expected)
    })
  }
}

describe('The schema that docs/schema.md describes', () => {
  it('is that of the projections', () => {
    for (const { name, schema, indexes } of projections.flatMap(({ collections }) => collections)) {
      const [section] = DOCUMENT.split(`\n## \`${name}\`\n`)[1]?.split('\n## ') ?? []
      for (const member of Object.keys(schema.properties).filter((one) => one !== 'id')) {
        expect(section, `${name}.${member}`).to.contain(`\`${member}\``)
      }
      for (const { fields } of indexes) expect(section, name).to.contain(`\`${fields.join(', ')}\``)
    }
  })

  it('has an answer of the API for each example', () => {
    expect(examples.map(({ title }) => title)).to.deep.equal(Object.keys(answers))
  })

  describe('on SQLite', () => {
    examplesHold({
      options: async () => ({}),
      async ask({ sql }, { folder }, token) {
        const path = join(folder, 'read-model.db')
        const database = await openDatabase(path, { readOnly: true, synchronous: 'NORMAL' })
        try {
          return database
            .prepare(sql.replaceAll(SOME_TOKEN, token))
            .all()
            .map((row) => ({ ...row }))
        } finally {
          database.close()
        }
      },
    })
  })

  describeWithMongod('on MongoDB', () => {
    let server: Mongod
    before(async () => {
      server = await startMongod()
    })
    after(() => server.stop())

    examplesHold({
      options: async () => ({ readModelUrl: server.url('schema') }),
      async ask({ collection, pipeline }, _, token) {
        const client = new MongoClient(server.url('schema'))
        try {
          const filled = JSON.parse(JSON.stringify(pipeline).replaceAll(SOME_TOKEN, token)) as object[]
          return await client.db().collection(collection).aggregate(filled).toArray()
        } finally {
          await client.close()
        }
      },
    })
  })
})
