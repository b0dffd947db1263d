import { request as httpRequest } from 'node:http'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { type Answer, type Api, bearer, callerOf, createToken, TOKENS } from '../support/callers/caller.ts'
import { jwtFor, startLedger, type TestService } from '../support/processes/ledger.ts'

const JSON_TYPE = { 'Content-Type': 'application/json' }
const KIB_32 = 32 * 1024

describe('A body', () => {
  let service: TestService
  let owner: Api
  let patched: string

  before(async () => {
    service = await startLedger({ maxTokensPerAccount: 10_000 })
    owner = callerOf(service.url, bearer(jwtFor('acct_1')))
    patched = `${TOKENS}/${(await createToken(owner)).id}`
  })
  after(() => service.close())

  type Raw = string | Uint8Array
  /** Sends the same body to both routes that read one. They must give the same answer. */
  async function send(body: Raw, headers: Record<string, string> = JSON_TYPE): Promise<Answer> {
    const posted = await owner.post(TOKENS, body, headers)
    const answer = await owner.patch(patched, body, headers)
    expect(posted.status === 201 ? 200 : posted.status, 'POST and PATCH agree').to.equal(answer.status)
    return answer
  }
  async function assertRefused(
    status: number,
    code: string,
    body: Raw,
    headers?: Record<string, string>,
  ): Promise<void> {
    const answer = await send(body, headers)
    const what = `${JSON.stringify(headers ?? '')} ${String(body).slice(0, 60)}`
    expect([answer.status, answer.body.code], what).to.deep.equal([status, code])
  }
  const bytes = (...values: number[]) =>
    Buffer.concat([Buffer.from('{"name":"a'), Buffer.from(values), Buffer.from('"}')])
  const sized = (length: number) => `{"name":"x"${' '.repeat(length - 12)}}`

  it('that is broken JSON is 400', async () => {
    for (const broken of [
      '{"name":"x"',
      '{"name":"x",}',
      "{'name':'x'}",
      '{"name":"a\nb"}',
      'name=x',
      '{"name":"x"}{',
      'NaN',
      '﻿{',
      ' ',
    ]) {
      await assertRefused(400, 'malformed_request', broken)
    }
  })

  it('that has a member twice is 400, wherever and however it is spelt', async () => {
    for (const body of [
      '{"name":"x","name":"x"}',
      '{"name":"x","n\\u0061me":"y"}',
      '{"name":"x","expires_at":"2099-01-01T00:00:00Z","expires_at":null}',
      '{"name":"x","unknown":{"a":[{"b":1,"b":2}]}}',
      '{"name":"x","__proto__":1,"__proto__":2}',
      '[{"a":1,"a":1}]',
    ]) {
      await assertRefused(400, 'malformed_request', body)
    }
    expect((await send('{"name":"\\"name\\":"}')).status).to.equal(200)
  })

  it('that is missing is 400', async () => {
    for (const headers of [JSON_TYPE, {}]) {
      const { status, body } = await owner.post(TOKENS, undefined, headers)
      expect(status).to.equal(400)
      expect(body.code).to.equal('malformed_request')
    }
    await assertRefused(400, 'malformed_request', '')
    expect((await owner.patch(patched)).status).to.equal(400)
  })

  it('that is JSON and no object is 422', async () => {
    for (const value of ['[]', '[{"name":"x"}]', '"x"', '1', 'null', 'true', '""']) {
      await assertRefused(422, 'validation_failed', value)
    }
  })

  it('that is nested thousands of levels deep is refused like any other', async () => {
    await assertRefused(400, 'malformed_request', '['.repeat(20_000))
    await assertRefused(400, 'malformed_request', '{"a":'.repeat(5_000))
    await assertRefused(422, 'validation_failed', '['.repeat(16_000) + ']'.repeat(16_000))
    await assertRefused(422, 'validation_failed', `{"scopes":${'['.repeat(10_000)}${']'.repeat(10_000)}}`)
    await assertRefused(422, 'validation_failed', `{"name":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}}`)
    const deep = '['.repeat(20_000) + ']'.repeat(20_000)
    await assertRefused(413, 'payload_too_large', deep)
  })

  it('may have 32 KiB, and not one byte more', async () => {
    expect((await send(sized(KIB_32))).status).to.equal(200)
    await assertRefused(413, 'payload_too_large', sized(KIB_32 + 1))
    await assertRefused(413, 'payload_too_large', sized(2_000_000))
    await assertRefused(413, 'payload_too_large', `{"name":"${'é'.repeat(KIB_32 / 2)}"}`)
  })

  it('that does not say its length is counted as it comes', async () => {
    expect(await chunked(service.url, sized(KIB_32))).to.equal(201)
    expect(await chunked(service.url, sized(KIB_32 + 1))).to.equal(413)
    expect(await chunked(service.url, sized(2_000_000))).to.equal(413)
    expect(await chunked(service.url, '')).to.equal(400)
  })

  it('of another type, or of none, is 415', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/xml',
      'application/json-patch+json',
      'application/vnd.api+json',
      'application/jsonx',
      'text/json',
      'application',
      '*/*',
      'application/*',
      '',
    ]) {
      await assertRefused(415, 'unsupported_media_type', '{"name":"x"}', { 'Content-Type': type })
    }
    const none = await owner.post(TOKENS, Buffer.from('{"name":"x"}'), {})
    expect(none.status).to.equal(415)
  })

  it('is UTF-8 and says so, or nothing', async () => {
    for (const charset of ['utf-8', 'UTF-8', 'utf8', '"utf-8"']) {
      const { status } = await send('{"name":"ü"}', {
        'Content-Type': `application/json; charset=${charset}`,
      })
      expect(status, charset).to.equal(200)
    }
    for (const charset of ['latin1', 'iso-8859-1', 'utf-16', 'utf-7', 'us-ascii', 'nonsense']) {
      await assertRefused(415, 'unsupported_media_type', '{"name":"x"}', {
        'Content-Type': `application/json; charset=${charset}`,
      })
    }
  })

  it('of bytes that are not UTF-8 is 400', async () => {
    await assertRefused(400, 'malformed_request', bytes(0xff))
    await assertRefused(400, 'malformed_request', bytes(0xc0, 0x80))
    await assertRefused(400, 'malformed_request', bytes(0xed, 0xa0, 0x80))
    await assertRefused(400, 'malformed_request', bytes(0xf0, 0x9f, 0x98))
    await assertRefused(400, 'malformed_request', Buffer.from('{"name":"x"}', 'utf16le'))
    await assertRefused(400, 'malformed_request', Buffer.from([0, 1, 2, 255]))
    expect((await send(bytes(0xf0, 0x9f, 0x9a, 0x80))).body.name).to.equal('a🚀')
  })

  it('may be compressed in the usual ways', async () => {
    const text = '{"name":"packed"}'
    for (const [encoding, packed] of [
      ['gzip', gzipSync(text)],
      ['deflate', deflateSync(text)],
      ['identity', Buffer.from(text)],
      ['br', brotliCompressSync(text)],
    ] as const) {
      const { status, body } = await send(packed, { ...JSON_TYPE, 'Content-Encoding': encoding })
      expect(status, encoding).to.equal(200)
      expect(body.name).to.equal('packed')
    }
  })

  it('that unpacks to more than 32 KiB is 413', async () => {
    const bomb = gzipSync(sized(20_000_000))
    expect(bomb.length).to.be.below(KIB_32)
    await assertRefused(413, 'payload_too_large', bomb, { ...JSON_TYPE, 'Content-Encoding': 'gzip' })
    const small = brotliCompressSync(sized(KIB_32 + 1))
    await assertRefused(413, 'payload_too_large', small, { ...JSON_TYPE, 'Content-Encoding': 'br' })
  })

  it('that is not compressed as it says is 400, and in a way nobody knows 415', async () => {
    const text = '{"name":"x"}'
    for (const encoding of ['gzip', 'deflate', 'br']) {
      await assertRefused(400, 'malformed_request', text, { ...JSON_TYPE, 'Content-Encoding': encoding })
    }
    const packed = gzipSync(text)
    const cut = packed.subarray(0, packed.length - 10)
    await assertRefused(400, 'malformed_request', cut, { ...JSON_TYPE, 'Content-Encoding': 'gzip' })
    await assertRefused(400, 'malformed_request', deflateRawSync(text), {
      ...JSON_TYPE,
      'Content-Encoding': 'deflate',
    })
    for (const encoding of ['zstd', 'compress', 'nonsense', 'gzip, gzip']) {
      await assertRefused(415, 'unsupported_media_type', packed, {
        ...JSON_TYPE,
        'Content-Encoding': encoding,
      })
    }
  })

  it('with members that mean something in JavaScript or MongoDB is refused, and nothing comes of it', async () => {
    for (const [text, pointer] of [
      ['{"name":"x","__proto__":{"admin":true}}', '/__proto__'],
      ['{"name":"x","constructor":{"prototype":{"admin":true}}}', '/constructor'],
      ['{"name":"x","prototype":1}', '/prototype'],
      ['{"name":"x","toString":1}', '/toString'],
      ['{"name":"x","hasOwnProperty":1}', '/hasOwnProperty'],
      ['{"name":"x","$where":"1"}', '/$where'],
      ['{"name":{"$ne":1}}', '/name'],
      ['{"name":"x","expires_at":{"$gt":""}}', '/expires_at'],
      ['{"name":"x","scopes":{"$in":["a"]}}', '/scopes'],
      ['{"name":"x","scopes":[{"$ne":1}]}', '/scopes/0'],
      ['{"name":"x","scopes":{"length":1,"0":"a"}}', '/scopes'],
    ] as const) {
      const { status, body } = await send(text)
      expect(status, text).to.equal(422)
      expect(
        body.errors.map((error) => error.pointer),
        text,
      ).to.deep.equal([pointer])
    }
    expect(Object.hasOwn(Object.prototype, 'admin')).to.be.false
  })

  it('is told what is wrong with it without being repeated', async () => {
    const secret = 'a-value-that-must-not-come-back'
    for (const text of [`{"name":"${secret}`, `{"name":["${secret}"]}`, `{"expires_at":"${secret}"}`]) {
      const { text: answer } = await send(text)
      expect(answer).not.to.include(secret)
    }
  })

  it('is told where it is wrong in a bounded answer', async () => {
    const members = Array.from({ length: 1_500 }, (_, i) => `"${'m'.repeat(8)}${i}":1`).join()
    const { status, text, body } = await send(`{"name":"x",${members}}`)
    expect(status).to.equal(422)
    expect(body.errors).to.have.lengthOf(50)
    expect(text.length).to.be.below(KIB_32)
  })
})

/** @returns the status of the answer to a POST without Content-Length */
function chunked(url: string, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { ...JSON_TYPE, ...bearer(jwtFor('acct_1')), 'Transfer-Encoding': 'chunked' }
    const request = httpRequest(`${url}${TOKENS}`, { method: 'POST', headers, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    request.on('error', (error: NodeJS.ErrnoException) => {
      // The answer may come, and the connection end, before everything was written.
      if (error.code !== 'EPIPE' && error.code !== 'ECONNRESET') reject(error)
    })
    for (let i = 0; i < body.length; i += 1000) request.write(body.slice(i, i + 1000))
    request.end()
  })
}
