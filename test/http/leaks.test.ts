import { hash, sign } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { expect } from 'chai'
import type { TokenLedgerOptions } from '../../src/index.ts'
import { type Api, bearer, callerOf, createToken, TOKENS, tokenHeader } from '../support/callers/caller.ts'
import {
  leakEntry as entry,
  reporter,
  signedHeaders as headersOf,
  signedReport,
} from '../support/callers/leaks.ts'
import { sending, startIssuer, type TestIssuer } from '../support/processes/issuer.ts'
import { eventually } from '../support/suite/eventually.ts'
import { endServices, ownFolder } from '../support/processes/service.ts'
import { loseHistory } from '../support/stores/damage.ts'
import { jwtFor, SAMPLE_KEY, startLedger, type TestService } from '../support/processes/ledger.ts'

const KEYS = '/keys'
const SAMPLE = {
  body: '[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]',
  signature:
    'MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg==',
}

interface Leaked {
  token_id: string
  status: string
  requests: number
  leak: Record<string, unknown>
}

describe('A report of leaked secrets', () => {
  let publisher: TestIssuer
  let service: TestService
  let owner: Api
  const logged: { fields: Record<string, unknown>; message: string }[] = []
  const [current, older, p384] = [
    reporter('current'),
    reporter('older', false),
    reporter('p384', true, 'P-384'),
  ]

  const start = (options: TokenLedgerOptions = {}, folder?: string): Promise<TestService> =>
    startLedger(
      {
        leakAction: 'revoke',
        leakKeysUrl: publisher.url + KEYS,
        maxTokensPerAccount: 10_000,
        log: {
          debug() {},
          info() {},
          error() {},
          warn: (fields, message) => void logged.push({ fields: fields as Record<string, unknown>, message }),
        },
        ...options,
      },
      folder,
    )
  before(async () => {
    publisher = await startIssuer()
    publisher.at[KEYS] = sending({
      public_keys: [
        SAMPLE_KEY,
        current.listed,
        older.listed,
        p384.listed,
        { key_identifier: 'x', key: 'x' },
        null,
      ],
    })
    service = await start()
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
  })
  after(async () => {
    await service.close()
    await publisher.close()
  })

  const send = (body: string, headers: Record<string, string>, to = service) =>
    callerOf(to.url).post('/leaks/github', body, headers)
  const report = (entries: unknown, by = current, to = service) => {
    const { body, headers } = signedReport(by, entries)
    return send(body, headers, to)
  }
  const labelsOf = ({ body }: { body: unknown }): string[] =>
    (body as { label: string }[]).map(({ label }) => label)
  const historyOf = async (id: string, of = owner) => (await of.get(`${TOKENS}/${id}/events`)).body.data

  it('is verified as the sample in the documentation of GitHub is', async () => {
    const { status, body } = await send(SAMPLE.body, headersOf(SAMPLE_KEY.key_identifier, SAMPLE.signature))
    expect(status).to.equal(200)
    expect(body).to.deep.equal([
      { token_hash: hash('sha256', 'some_token'), token_type: 'some_type', label: 'false_positive' },
    ])
  })

  it('revokes a token, and its history says where it was found, once for each place', async () => {
    const { id, token, hint, updated_at } = await createToken(owner)
    const elsewhere = entry(token, { url: 'https://elsewhere.example' })
    for (const entries of [[entry(token)], [entry(token), elsewhere], [entry(token)]]) {
      const answer = await report(entries)
      expect(answer.status).to.equal(200)
      expect(labelsOf(answer)).to.deep.equal(entries.map(() => 'true_positive'))
      expect(answer.text).not.to.contain(token)
    }
    expect((await callerOf(service.url, tokenHeader(token)).get('/auth/verify')).status).to.equal(401)
    // It is the system that revoked it, and nobody has updated it.
    expect((await owner.get(`${TOKENS}/${id}`)).body).to.include({ status: 'revoked', updated_at })
    const history = await historyOf(id)
    expect(history.map(({ type }) => type)).to.deep.equal([
      'TokenCreated',
      'TokenRevoked',
      'TokenLeaked',
      'TokenLeaked',
    ])
    expect(history[1]?.data).to.deep.equal({ reason: 'leaked: reported by github' })
    expect(history[2]).to.deep.include({
      actor: { kind: 'system', id: 'github' },
      data: {
        source: 'github commit',
        url: 'https://github.com/octocat/hello/blob/main/a.txt',
        type: 'tokenledger_api_token',
        hint,
      },
    })
    const line = logged.find(({ fields }) => fields.tokenId === id)
    expect(line?.fields).to.include({ accountId: 'acct_1', hint, action: 'revoked' })
    expect(line?.fields.next).to.match(new RegExp(`^tokenledger blast-radius ${id} --since 20`))
    expect(JSON.stringify(logged)).not.to.contain(token)
  })

  it('at the same time, from several, is written down once', async () => {
    const { id, token } = await createToken(owner)
    const answers = await Promise.all(Array.from({ length: 8 }, () => report([entry(token)])))
    for (const { status } of answers) expect(status).to.equal(200)
    expect((await historyOf(id)).map(({ type }) => type)).to.deep.equal([
      'TokenCreated',
      'TokenRevoked',
      'TokenLeaked',
    ])
  })

  it('is only written down where that is wanted', async () => {
    const told = await start({ leakAction: 'notify' })
    const other = callerOf(told.url, bearer(jwtFor('acct_1')))
    const { id, token, updated_at } = await createToken(other)
    await report([entry(token)], current, told)
    const { body } = await other.get(`${TOKENS}/${id}`)
    expect(body).to.include({ status: 'active', revision: 1, updated_at })
    expect((await historyOf(id, other)).map(({ type }) => type)).to.deep.equal([
      'TokenCreated',
      'TokenLeaked',
    ])
    expect((await callerOf(told.url, tokenHeader(token)).get('/auth/verify')).status).to.equal(200)
    expect((await other.patch(`${TOKENS}/${id}`, { name: 'goes on' })).status).to.equal(200)
    await told.close()
  })

  it('is shown in the report of the account, with the requests since', async () => {
    const told = await start({ leakAction: 'notify', usageFlushMs: 20 })
    const other = callerOf(told.url, bearer(jwtFor('acct_1')))
    const [first, second] = [await createToken(other), await createToken(other)]
    const foreign = await createToken(callerOf(told.url, bearer(jwtFor('acct_2'))))
    const listed = async () =>
      ((await other.get(`${TOKENS}/report`)).body as unknown as { leaked: { total: number; data: Leaked[] } })
        .leaked
    expect(await listed()).to.deep.equal({ total: 0, data: [] })
    const elsewhere = { url: 'https://elsewhere.example/', source: 'issue' }
    await report([entry(first.token)], current, told)
    await report([entry(second.token), entry(foreign.token)], current, told)
    await report([entry(first.token, elsewhere)], current, told)
    await callerOf(told.url, tokenHeader(first.token)).get('/auth/verify')
    await eventually(async () => {
      const { total, data } = await listed()
      expect(total).to.equal(2)
      expect(data.map(({ token_id, status, requests }) => [token_id, status, requests])).to.deep.equal([
        [first.id, 'active', 1],
        [second.id, 'active', 0],
      ])
      const { at, ...leak } = data[0]?.leak ?? {}
      expect(at).to.equal((await historyOf(first.id, other)).at(-1)?.at)
      expect(leak).to.deep.equal({
        source: 'github issue',
        url: 'https://elsewhere.example/',
        type: 'tokenledger_api_token',
        hint: first.hint,
      })
    })
    await other.delete(`${TOKENS}/${second.id}`)
    expect((await listed()).data[1]).to.include({ token_id: second.id, status: 'revoked' })
    expect((await other.get(`${TOKENS}/report?limit=1`)).text).not.to.contain('octocat')
    await told.close()
  })

  it('is read while others send bodies that never end, but not while its own address does', async () => {
    const proxied = await start({ trustProxyHops: 1 })
    const { port, hostname } = new URL(proxied.url)
    const { body, headers } = signedReport(current, [entry('nothing')])
    const head = Object.entries({ ...headers, 'Content-Length': body.length, 'X-Forwarded-For': '192.0.2.1' })
    const half = `POST /leaks/github HTTP/1.1\r\nHost: x\r\n${head.map((field) => `${field.join(': ')}\r\n`).join('')}\r\n[`
    const sockets = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const socket = connect(Number(port), hostname)
        await once(socket, 'connect')
        socket.write(half)
        return socket.on('error', () => {})
      }),
    )
    const from = (address: string) =>
      send(body, { ...headers, 'X-Forwarded-For': address }, proxied).then(({ status }) => status)
    await eventually(async () => expect(await from('192.0.2.1')).to.equal(503))
    expect(await from('192.0.2.2')).to.equal(200)
    for (const socket of sockets) socket.destroy()
    await eventually(async () => expect(await from('192.0.2.1')).to.equal(200))
    await proxied.close()
  })

  it('keeps no piece of a secret where what it says is cut', async () => {
    const { id, token } = await createToken(owner)
    const kept = 1024
    const before = 'https://github.com/octocat/'.padEnd(kept - 30, 'a')
    await report([entry(token, { url: `${before}${token}`, source: `${'s'.repeat(70)} ${token}` })])
    const { data } = (await historyOf(id)).at(-1) as { data: Record<string, string> }
    expect(data.url).to.equal(`${before}[credential]`)
    expect(JSON.stringify(data)).to.not.contain(token.slice(0, 12))
  })

  it('knows revoked tokens, and secrets that were replaced, whose tokens go on', async () => {
    const revoked = await createToken(owner)
    await owner.delete(`${TOKENS}/${revoked.id}`)
    const rotated = await createToken(owner)
    const { body } = await owner.post(`${TOKENS}/${rotated.id}/rotations`, {
      activate: 'now',
      grace_seconds: 0,
    })
    const answer = await report([entry(revoked.token), entry(rotated.token)])
    expect(labelsOf(answer)).to.deep.equal(['true_positive', 'true_positive'])
    expect((await historyOf(revoked.id)).at(-1)?.type).to.equal('TokenLeaked')
    const last = (await historyOf(rotated.id)).at(-1)
    expect([last?.type, last?.data.hint]).to.deep.equal(['TokenLeaked', rotated.hint])
    const newer = body.token
    expect((await callerOf(service.url, tokenHeader(newer)).get('/auth/verify')).status).to.equal(200)
    const both = await createToken(owner)
    const pending = await owner.post(`${TOKENS}/${both.id}/rotations`, {})
    await report([entry(pending.body.token)])
    expect((await owner.get(`${TOKENS}/${both.id}`)).body.status).to.equal('revoked')
  })

  it('goes on behind a token whose history is damaged, which is closed', async () => {
    const folder = await ownFolder()
    const one = await start({}, folder)
    const its = callerOf(one.url, bearer(jwtFor('acct_1')))
    const [damaged, sound] = [await createToken(its), await createToken(its)]
    await loseHistory(folder, damaged.id)
    const answer = await report([entry(damaged.token), entry(sound.token)], current, one)
    expect([answer.status, labelsOf(answer)]).to.deep.equal([200, ['true_positive', 'true_positive']])
    for (const { token } of [damaged, sound])
      expect((await callerOf(one.url, tokenHeader(token)).get('/auth/verify')).status).to.equal(401)
    expect((await historyOf(sound.id, its)).at(-1)?.type).to.equal('TokenLeaked')
    await one.close()
    await endServices()
  })

  it('that names one token again and again is taken once', async () => {
    const { id, token } = await createToken(owner)
    const before = logged.length
    const answer = await report(Array.from({ length: 5_000 }, () => entry(token)))
    expect(new Set(labelsOf(answer))).to.deep.equal(new Set(['true_positive']))
    expect((await historyOf(id)).map(({ type }) => type)).to.deep.equal([
      'TokenCreated',
      'TokenRevoked',
      'TokenLeaked',
    ])
    expect(logged.length - before).to.equal(1)
  })

  it('of a dead secret and of a living one of the same token revokes it, in any order', async () => {
    for (const order of [(secrets: string[]) => secrets, (secrets: string[]) => secrets.toReversed()]) {
      const { id, token } = await createToken(owner)
      const rotated = await owner.post(`${TOKENS}/${id}/rotations`, { activate: 'now', grace_seconds: 0 })
      await report(order([token, rotated.body.token]).map((secret) => entry(secret)))
      expect((await owner.get(`${TOKENS}/${id}`)).body.status).to.equal('revoked')
    }
  })

  it('keeps no secret, wherever in it that stands', async () => {
    const { id, token } = await createToken(owner)
    await report([entry(token, { url: `https://x.example/?t=${token}`, source: token, type: token })])
    expect(JSON.stringify((await historyOf(id)).at(-1))).not.to.contain(token)
  })

  it('may have ten thousand entries, of other prefixes and of any text', async function () {
    this.timeout(120_000)
    const { token } = await createToken(owner)
    const entries = Array.from({ length: 9_999 }, (_, i) => ({
      token: `o_${i}`,
      type: 't',
      url: '',
      source: '',
    }))
    const answer = await report([...entries, entry(token)])
    expect(answer.status).to.equal(200)
    const labels = labelsOf(answer)
    expect([labels.length, labels.indexOf('true_positive')]).to.deep.equal([10_000, 9_999])
  })

  it('is signed with any key in the list, current or not, over exactly this body', async () => {
    expect((await report([entry('x')], older)).status).to.equal(200)
    const body = JSON.stringify([entry('x')])
    const signature = sign('sha256', Buffer.from(body), current.privateKey).toString('base64')
    const wrong: Record<string, [body: string, headers: Record<string, string>]> = {
      'a changed body': [`${body} `, headersOf('current', signature)],
      "another's key": [body, headersOf('older', signature)],
      'no key id': [body, { 'Content-Type': 'application/json', 'Github-Public-Key-Signature': signature }],
      'no signature': [
        body,
        { 'Content-Type': 'application/json', 'Github-Public-Key-Identifier': 'current' },
      ],
      'a signature that is none': [body, headersOf('current', 'x')],
      'a long signature': [body, headersOf('current', 'x'.repeat(1_000))],
      'a key of another curve': [body, headersOf('p384', signature)],
      'no body': ['', headersOf('current', signature)],
    }
    for (const [what, [text, headers]] of Object.entries(wrong))
      expect((await send(text, headers)).status, what).to.equal(401)
  })

  it('is refused as a whole if it is signed and no list of tokens', async () => {
    for (const entries of [{}, 'text', [1], [{ token: 7 }], [entry('x'), null]])
      expect((await report(entries)).status, JSON.stringify(entries)).to.equal(422)
    expect((await report({})).body.errors).to.deep.equal([{ pointer: '', message: 'must be a list' }])
    const text = '['
    const signature = sign('sha256', Buffer.from(text), current.privateKey).toString('base64')
    expect((await send(text, headersOf('current', signature))).status).to.equal(400)
    const huge = `[${' '.repeat(1024 * 1024)}]`
    const signed = sign('sha256', Buffer.from(huge), current.privateKey).toString('base64')
    expect((await send(huge, headersOf('current', signed))).status).to.equal(413)
  })

  it('of unknown keys asks for the list once, however many there are', async () => {
    const fresh = await start({ rateLimitFailuresPerMinute: 0 })
    const before = publisher.asked.length
    const unknown = Array.from({ length: 200 }, (_, i) => send('[]', headersOf(`unknown ${i}`, 'x'), fresh))
    for (const { status } of await Promise.all(unknown)) expect(status).to.equal(401)
    expect(publisher.asked.length - before).to.equal(1)
    await fresh.close()
  })

  it('is 503 while there are no keys, and to be sent again', async () => {
    const lost = await start({ leakKeysUrl: `${publisher.url}/nowhere` })
    const { status, body } = await report([entry('x')], current, lost)
    expect([status, body.detail]).to.deep.equal([
      503,
      'The keys with which the signature is checked cannot be had now. Try again in a moment.',
    ])
    await lost.close()
  })

  it('with a bad signature counts against its address, from where a good one still passes', async () => {
    const limited = await start({ rateLimitFailuresPerMinute: 3 })
    const statuses: number[] = []
    for (let i = 0; i < 5; i++) statuses.push((await send('[]', headersOf('current', 'x'), limited)).status)
    expect(statuses).to.deep.equal([401, 401, 401, 429, 429])
    const asked = publisher.asked.length
    for (const id of ['unknown', 'another'])
      expect((await send('[]', headersOf(id, 'x'), limited)).status).to.equal(429)
    expect(publisher.asked.length - asked, 'it was asked at the first report').to.equal(0)
    expect((await report([entry('x')], current, limited)).status).to.equal(200)
    await limited.close()
  })

  it('is taken nowhere unless it is said what becomes of it', async () => {
    const without = await startLedger()
    expect((await fetch(`${without.url}/leaks/github`, { method: 'POST' })).status).to.equal(404)
    await without.close()
  })
})
