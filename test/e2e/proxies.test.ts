import { request } from 'node:http'
import { expect } from 'chai'
import { type Api, apiOf, type CreatedToken } from '../support/callers/api.ts'
import {
  type Behind,
  PROXIES,
  type Sent,
  type ShippedProxy,
  startBehind,
} from '../support/processes/behindProxy.ts'
import { eventually } from '../support/suite/eventually.ts'
import { jwtFor } from '../support/processes/ledger.ts'
import { describeWith } from '../support/suite/needs.ts'
import { endServices } from '../support/processes/service.ts'

interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
}

/** An address that no proxy has. */
const CALLER = process.platform === 'linux' ? '127.0.0.9' : '127.0.0.1'

/** Sends one request on a connection of its own, with exactly these fields. */
function send(url: string, method: string, fields: readonly string[]): Promise<Answer> {
  const { host } = new URL(url)
  return new Promise((resolve, reject) => {
    const headers = ['Host', host, ...fields]
    const sending = request(url, { method, headers, agent: false, localAddress: CALLER }, (answer) => {
      let text = ''
      answer.on('data', (chunk: Buffer) => (text += chunk.toString()))
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }))
    })
    sending.on('error', reject)
    sending.end()
  })
}

/** Fields in which Tokenledger describes a caller. */
const SAID = ['X-Account-Id', 'X-Auth-Kind', 'X-Token-Id', 'X-Token-Scopes']
/** Fields in which proxies describe one. */
const FORWARDED = [
  'Forwarded',
  'X-Forwarded-For',
  'X-Forwarded-Host',
  'X-Forwarded-Method',
  'X-Forwarded-Port',
  'X-Forwarded-Prefix',
  'X-Forwarded-Proto',
  'X-Forwarded-Server',
  'X-Forwarded-Uri',
  'X-Original-Method',
  'X-Original-URI',
  'X-Real-IP',
]

/** A name, and all spellings of it that are the same to an application behind CGI. */
function spellings(name: string): string[] {
  const [first = '', ...others] = name.split('-')
  const all = others.reduce(
    (made, part) => made.flatMap((start) => [`${start}-${part}`, `${start}_${part}`]),
    [first],
  )
  return all.flatMap((each) => [each, each.toLowerCase(), each.toUpperCase()])
}

/** The name as such an application sees it. */
const cgi = (name: string): string => name.toUpperCase().replaceAll('-', '_')

function valuesOf(names: readonly string[], { fields }: Sent): Record<string, string[]> {
  const found: Record<string, string[]> = {}
  for (let i = 0; i < fields.length; i += 2) {
    const name = names.find((one) => cgi(one) === cgi(fields[i] ?? ''))
    if (name !== undefined) (found[name] ??= []).push(fields[i + 1] ?? '')
  }
  return found
}

function behind(name: string, proxy: ShippedProxy, required: boolean): void {
  const appendsPath = name === 'envoy'
  /** Does the proxy join two fields of one name? Then the credential is bad. */
  const joinsFields = name === 'envoy'
  const title = `behind ${name} with docs/proxies/${proxy.file}`

  describeWith(proxy.program, { argument: proxy.argument, required }, title, function () {
    this.timeout(60_000)
    let place: Behind
    let api: Api
    let token: CreatedToken
    const credential = () => ['X-API-Token', token.token]

    before(async () => {
      place = await startBehind(proxy)
      api = apiOf(place.service.url)
      token = (await api.create({ name: 'through it', scopes: ['orders:read', 'orders:write'] })).body
    })
    beforeEach(() => {
      place.reached.splice(0)
      place.asked.splice(0)
    })
    after(async () => {
      await place?.close()
      await endServices()
    })

    const usesOf = (id: string, amount: number) =>
      eventually(async () => {
        const { body } = await api.usage(id)
        expect(body.total.requests).to.equal(amount)
        return body
      })

    it('a token reaches the application, which is told whose it is and never sees it', async () => {
      for (const fields of [credential(), ['Authorization', `Bearer ${token.token}`]]) {
        place.reached.splice(0)
        const { status, text } = await send(`${place.url}/orders/17?secret=1`, 'GET', fields)
        expect(status).to.equal(200)
        expect(text).to.equal('the application at /orders/17?secret=1')
        expect(place.reached).to.have.lengthOf(1)
        expect(valuesOf(SAID, place.reached[0] as Sent)).to.deep.equal({
          'X-Account-Id': ['acct_1'],
          'X-Auth-Kind': ['token'],
          'X-Token-Id': [token.id],
          'X-Token-Scopes': ['orders:read orders:write'],
        })
        expect(JSON.stringify(place.reached)).to.not.include(token.token)
      }
    })

    it('whatever its caller says in whatever spelling, the application and Tokenledger hear the truth', async () => {
      const { body: counted } = await api.create({ name: 'counted' })
      const forged = [...SAID, ...FORWARDED]
        .flatMap(spellings)
        .flatMap((field) => [field, /uri$/i.test(field) ? '/forged' : 'forged'])
      // Envoy accepts at most 100 fields.
      const parts = Array.from({ length: Math.ceil(forged.length / 96) }, (_, i) =>
        forged.slice(96 * i, 96 * (i + 1)),
      )
      expect(parts.flat()).to.deep.equal(forged)
      // A proxy does not pass on fields that the field Connection names. Fields of Tokenledger must not be lost in this
      // way.
      const connection = ['Connection', ['close', ...SAID, 'X-Forwarded-For', 'X-Original-URI'].join(', ')]
      let accepted = 0
      const sentAlong = parts.flatMap((part) => [part, [...part, ...connection]])
      for (const part of sentAlong) {
        for (const [own, kind, id] of [
          [['X-API-Token', counted.token], 'token', [counted.id]],
          [['Authorization', `Bearer ${jwtFor('acct_2')}`], 'jwt', []],
        ] as const) {
          place.reached.splice(0)
          place.asked.splice(0)
          const { status, text } = await send(`${place.url}/orders/17?x=1`, 'PUT', [...part, ...own])
          // Envoy refuses requests that name fields there which it sets itself.
          if (name === 'envoy' && part.includes('Connection') && status === 400) continue
          expect(status, text).to.equal(200)
          accepted += kind === 'token' ? 1 : 0
          const [reached, asked] = [place.reached[0] as Sent, place.asked[0] as Sent]
          expect([place.reached.length, place.asked.length]).to.deep.equal([1, 1])
          const said = valuesOf(SAID, reached)
          expect(said['X-Account-Id']).to.deep.equal([kind === 'jwt' ? 'acct_2' : 'acct_1'])
          expect(said['X-Auth-Kind']).to.deep.equal([kind])
          // A proxy may leave out an empty field, or pass it on.
          expect((said['X-Token-Id'] ?? []).filter((value) => value !== '')).to.deep.equal(id)
          expect((said['X-Token-Scopes'] ?? []).join('')).to.equal('')
          for (const sent of [reached, asked]) {
            const values = valuesOf([...SAID, ...FORWARDED], sent)
            expect(JSON.stringify(values), JSON.stringify(sent)).to.not.match(/forged/)
          }
          expect(valuesOf(SAID, asked), 'Tokenledger is told nothing of what only it says').to.deep.equal({})
        }
      }
      const usage = await usesOf(counted.id, accepted)
      expect(usage.routes).to.deep.equal([{ method: 'PUT', route: '/orders/17', requests: accepted }])
      const { body } = await api.call<{ addresses: { data: { ip: string }[] } }>(
        'GET',
        `/settings/api-tokens/${counted.id}/blast-radius`,
      )
      expect(body.addresses.data.map(({ ip }) => ip)).to.deep.equal([CALLER])
    })

    it('usage has the method and the path of the request, without its query, and no more than that it was accepted', async () => {
      const { body } = await api.create({ name: 'counted' })
      const own = ['X-API-Token', body.token]
      for (const [method, path] of [
        ['GET', '/orders/17?card=4111'],
        ['GET', '/orders/17?scope=admin&scopes=x'],
        ['DELETE', '/missing'],
        ['GET', '/'],
        ['POST', '/orders'],
      ] as const) {
        const { status } = await send(place.url + path, method, own)
        expect(status, path).to.equal(path === '/missing' ? 404 : 200)
      }
      const usage = await usesOf(body.id, 5)
      expect(usage.routes).to.have.deep.members([
        { method: 'GET', route: '/orders/17', requests: 2 },
        { method: 'DELETE', route: '/missing', requests: 1 },
        { method: 'GET', route: '/', requests: 1 },
        { method: 'POST', route: '/orders', requests: 1 },
      ])
      expect(usage.total.outcomes).to.deep.equal({ accepted: 5 })
    })

    it('what was decided reaches the caller: the status, the challenge and the problem document', async () => {
      const direct = await fetch(`${place.service.url}/auth/verify`, {
        headers: { 'x-api-token': 'tkl_bad' },
      })
      const refused = (await direct.json()) as Record<string, unknown>
      const twice = [[...credential(), ...credential()], 400, 'duplicate_credential', undefined] as const
      for (const [fields, status, code, challenge] of [
        [[], 401, 'unauthorized', 'Bearer realm="tokenledger"'],
        [
          ['X-API-Token', 'tkl_bad'],
          401,
          'unauthorized',
          'Bearer realm="tokenledger", error="invalid_token"',
        ],
        [
          ['Authorization', 'Bearer e30.e30.e30'],
          401,
          'unauthorized',
          'Bearer realm="tokenledger", error="invalid_token"',
        ],
        ...(joinsFields ? [] : [twice]),
      ] as const) {
        for (const method of ['GET', 'POST', 'HEAD']) {
          const answer = await send(`${place.url}/orders?x=1`, method, fields)
          expect(answer.status, `${method} ${fields.join()} ${answer.text}`).to.equal(status)
          expect(answer.headers['www-authenticate']).to.equal(challenge)
          expect(answer.headers['cache-control']).to.equal('no-store')
          if (method === 'HEAD') continue
          expect(answer.headers['content-type']).to.match(/^application\/problem\+json/)
          const problem = JSON.parse(answer.text) as Record<string, unknown>
          expect(problem).to.include({ status, code, type: `urn:tokenledger:problem:${code}` })
          expect(problem['request_id']).to.equal(answer.headers['x-request-id']).and.be.a('string')
          if (fields[1] !== 'tkl_bad') continue
          expect({ ...problem, request_id: '' }).to.deep.equal({ ...refused, request_id: '' })
        }
      }
      expect(place.reached).to.deep.equal([])
    })

    it('a second credential is never passed over', async () => {
      const good = ['Authorization', `Bearer ${token.token}`]
      for (const fields of [
        [...credential(), 'X-API-Token', 'bad'],
        ['X-API-Token', 'bad', ...credential()],
        [...good, 'Authorization', 'Bearer bad'],
        ['Authorization', 'Bearer bad', ...good],
      ]) {
        const answer = await send(place.url, 'GET', fields)
        expect(answer.status).to.equal(joinsFields ? 401 : 400)
        expect(answer.headers['content-type']).to.match(/^application\/problem\+json/)
        expect(JSON.parse(answer.text).status).to.equal(answer.status)
      }
      expect(place.reached).to.deep.equal([])
    })

    it('headers that are too many for Tokenledger are refused as such', async () => {
      const answer = await send(place.url, 'GET', [...credential(), ...largeFields()])
      expect(answer.status, answer.text).to.equal(431)
      expect(place.reached).to.deep.equal([])
    })

    it('an outage of the service lets nobody through', async () => {
      await place.service.stop()
      for (const fields of [credential(), []]) {
        const answer = await send(`${place.url}/orders`, 'GET', fields)
        expect(answer.status).to.be.oneOf([500, 503])
      }
      expect(place.reached).to.deep.equal([])
    })
  })

  describeWith(proxy.program, { argument: proxy.argument, required }, `${title}, at its limits`, function () {
    this.timeout(60_000)
    let place: Behind
    before(async () => {
      place = await startBehind(proxy, { RATE_LIMIT_FAILURES_PER_MINUTE: '3' }, (shipped) =>
        appendsPath ? shipped : shipped.replaceAll(/\/auth\/verify\??/g, '/auth/verify?scope=orders:read'),
      )
    })
    after(async () => {
      await place?.close()
      await endServices()
    })

    if (!appendsPath) {
      it('a scope that is missing is 403 with its challenge', async () => {
        const { body } = await apiOf(place.service.url).create({ name: 'bare' })
        const answer = await send(place.url, 'GET', ['X-API-Token', body.token])
        expect(answer.status).to.equal(403)
        expect(answer.headers['www-authenticate']).to.equal(
          'Bearer realm="tokenledger", error="insufficient_scope", scope="orders:read"',
        )
        expect(JSON.parse(answer.text)).to.include({ status: 403, code: 'insufficient_scope' })
        expect(place.reached).to.deep.equal([])
      })
    }

    it('too many bad credentials are 429 with Retry-After, from the one after the limit on', async () => {
      const guess = () => send(place.url, 'GET', ['X-API-Token', 'tkl_bad'])
      for (let i = 0; i < 3; i++) expect((await guess()).status).to.equal(401)
      const answer = await guess()
      expect(answer.status).to.equal(429)
      expect(answer.headers['retry-after']).to.match(/^[1-9]\d*$/)
      expect(JSON.parse(answer.text)).to.include({ status: 429, code: 'rate_limited' })
      expect(place.reached).to.deep.equal([])
    })
  })
}

/** 20 KB in total, with no large field. */
const largeFields = (): string[] =>
  Array.from({ length: 20 }, (_, i) => [`X-Large-${i}`, 'x'.repeat(1_000)]).flat()

const inCi = process.env.CI === 'true'
behind('nginx', PROXIES.nginx, inCi)
behind('caddy', PROXIES.caddy, inCi)
behind('traefik', PROXIES.traefik, false)
behind('envoy', PROXIES.envoy, false)
