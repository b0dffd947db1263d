import { createContext, runInContext } from 'node:vm'
import { expect } from 'chai'
import type { Middleware } from 'koa'
import type { ResolveAccount } from '../../../src/application/authentication/authenticate.ts'
import { createTokenLedger } from '../../../src/ledger/ledger.ts'
import { bearer, tokenHeader } from '../../support/callers/caller.ts'
import { eventually } from '../../support/suite/eventually.ts'
import { type HostApp, served, startHost } from '../../support/processes/hostApp.ts'
import { jwtFor, PEPPERS, SECRET } from '../../support/processes/ledger.ts'
import { StoreUnavailableError } from '../../../src/application/ports/errors.ts'
import type { TokenLedgerOptions } from '../../../src/settings/options.ts'

const TOKENS = '/settings/api-tokens'
const foreign = runInContext('new Error("of another realm")', createContext({})) as Error

/** All the ways in which a function that the host hands in can fail. */
const failing: Record<string, { resolveAccount: () => unknown; message: string }> = {
  throws: {
    resolveAccount: () => {
      throw new Error('the database of accounts is down')
    },
    message: 'the database of accounts is down',
  },
  rejects: {
    resolveAccount: () => Promise.reject(new Error('the database of accounts is down')),
    message: 'the database of accounts is down',
  },
  'rejects with an error that has an answer of its own': {
    resolveAccount: () => Promise.reject(Object.assign(new Error('teapot'), { status: 418, expose: true })),
    message: 'teapot',
  },
  "rejects with an error of the ledger's own": {
    resolveAccount: () => Promise.reject(new StoreUnavailableError('of another ledger')),
    message: 'of another ledger',
  },
  'rejects with an error of another realm': {
    resolveAccount: () => Promise.reject(foreign),
    message: 'of another realm',
  },
  'rejects with text': {
    resolveAccount: () => Promise.reject('text'),
    message: 'what was thrown is no error',
  },
  'rejects with nothing': {
    resolveAccount: () => Promise.reject(undefined),
    message: 'what was thrown is no error',
  },
  'returns undefined': {
    resolveAccount: () => undefined,
    message: 'resolveAccount must return an account object or null, and returned undefined',
  },
  'resolves undefined': {
    resolveAccount: async () => undefined,
    message: 'resolveAccount must return an account object or null, and returned undefined',
  },
  'returns true': {
    resolveAccount: () => true,
    message: 'resolveAccount must return an account object or null, and returned boolean',
  },
  'returns the rows that it has found': {
    resolveAccount: () => [],
    message: 'resolveAccount must return an account object or null, and returned an array',
  },
  'returns text': {
    resolveAccount: () => 'acct_1',
    message: 'resolveAccount must return an account object or null, and returned string',
  },
}

const everything = (app: HostApp['app'], ledger: HostApp['ledger']): void => {
  app.use(ledger.verifyRoutes()).use(ledger.routes()).use(ledger.authenticate()).use(served)
}

describe('An account that the host cannot resolve', () => {
  for (const [how, { resolveAccount, message }] of Object.entries(failing)) {
    it(`since resolveAccount ${how}: a 500 with a request id, told to the app and the log`, async () => {
      const host = await startHost(everything, { resolveAccount: resolveAccount as ResolveAccount })
      for (const path of [TOKENS, '/auth/verify', '/elsewhere']) {
        host.errors.length = host.lines.length = 0
        const response = await fetch(host.url + path, { headers: bearer(jwtFor('acct_1')) })
        const text = await response.text()
        const problem = JSON.parse(text)
        expect([response.status, problem.code], path).to.deep.equal([500, 'internal_error'])
        expect(response.headers.get('x-request-id')).to.equal(problem.request_id)
        expect(text).not.to.contain(message)

        expect(host.errors).to.have.lengthOf(1)
        const [{ error, ctx }] = host.errors as [HostApp['errors'][number]]
        expect(Object.prototype.toString.call(error)).to.equal('[object Error]')
        expect((error as Error).message).to.equal(message)
        expect(ctx.path).to.equal(path)

        const lines = host.lines.filter(({ level }) => level === 'error').map(({ fields }) => fields)
        expect(lines).to.have.lengthOf(1)
        expect(lines[0]?.err).to.have.property('message', message)
        expect(lines[0]?.requestId).to.equal(problem.request_id)
      }
      await host.close()
    })
  }

  it('is null where it is unknown: 401, and no error', async () => {
    const host = await startHost(everything, { resolveAccount: async () => null })
    expect((await fetch(host.url, { headers: bearer(jwtFor('acct_1')) })).status).to.equal(401)
    expect(host.errors).to.deep.equal([])
    await host.close()
  })

  it("makes verify() reject with the host's own error", async () => {
    const own = new Error('the database of accounts is down')
    const host = await startHost(everything, { resolveAccount: () => Promise.reject(own) })
    const rejected = await host.ledger.verify(jwtFor('acct_1')).catch((error: unknown) => error)
    expect(rejected).to.equal(own)
    await host.close()
  })
})

describe('A function of the host that writes the lines of requests', () => {
  it('may throw: the app is told, the answer is there, and the use is counted', async () => {
    const host = await startHost((app, ledger) => {
      const broken = ledger.observe(() => {
        throw new Error('the disk is full')
      })
      app.use(broken).use(ledger.authenticate()).use(served)
    })
    const { token, id } = await host.ledger.tokens.create('acct_1', { name: 'CI' }, { actor: 'test' })
    for (let n = 0; n < 2; n++)
      expect((await fetch(host.url, { headers: tokenHeader(token) })).status).to.equal(200)
    await eventually(async () => {
      const { total } = await host.ledger.tokens.usage('acct_1', id)
      expect(total.requests).to.equal(2)
    })
    expect(host.errors.map(({ error }) => (error as Error).message)).to.deep.equal([
      'the disk is full',
      'the disk is full',
    ])
    await host.close()
  })
})

describe('A ledger without a log', () => {
  /** The text that is written to standard error meanwhile. */
  async function stderrOf(work: () => Promise<void>): Promise<string> {
    const { write } = process.stderr
    let text = ''
    process.stderr.write = (chunk: string) => {
      text += chunk
      return true
    }
    try {
      await work()
    } finally {
      process.stderr.write = write
    }
    return text
  }
  const start = (options: TokenLedgerOptions) => {
    const { log: _, ...others } = { log: undefined, ...options }
    return createTokenLedger({
      eventStoreUrl: 'sqlite::memory:',
      readModelUrl: 'sqlite::memory:',
      jwt: { secret: SECRET },
      peppers: PEPPERS,
      ...others,
    })
  }

  it('writes of an error what it says and where it was, and nothing else that it holds', async () => {
    const asked = new Error('no answer', { cause: new Error('refused') })
    Object.assign(asked, {
      input: 'a secret',
      request: { headers: 'a secret' },
      code: 'E_NO',
      body: 'a secret',
    })
    const resolveAccount = () => Promise.reject(asked)
    const text = await stderrOf(async () => {
      const host = await startHost(everything, { resolveAccount, log: undefined as never })
      await fetch(host.url, { headers: bearer(jwtFor('acct_1')) })
      await host.close()
    })
    const { err } = JSON.parse(text)
    expect(Object.keys(err)).to.have.members(['type', 'message', 'stack', 'code'])
    expect(err).to.include({ type: 'Error', message: 'no answer: refused', code: 'E_NO' })
    expect(text).to.not.contain('a secret')
  })

  it('writes errors to standard error, and nothing else', async () => {
    const jwt = jwtFor('acct_1')
    const text = await stderrOf(async () => {
      const host = await startHost(everything, {
        resolveAccount: () => Promise.reject(new Error('down')),
        log: undefined as never,
      })
      await fetch(host.url, { headers: bearer(jwt) })
      await fetch(host.url, { headers: bearer('no.good.jwt') })
      await host.close()
    })
    const lines = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.map(({ level, err }) => [level, err?.message])).to.deep.equal([[50, 'down']])
    expect(text).not.to.contain(jwt)
  })

  it('is silent where all is well', async () => {
    const text = await stderrOf(async () => {
      const ledger = await start({})
      await ledger.verify(jwtFor('acct_1'))
      await ledger.close()
    })
    expect(text).to.equal('')
  })
})

describe('onProblem', () => {
  async function answersOf(onProblem: TokenLedgerOptions['onProblem'], before?: Middleware) {
    const host = await startHost(
      (app, ledger) => {
        if (before) app.use(before)
        app
          .use(ledger.verifyRoutes())
          .use(ledger.routes())
          .use(ledger.authenticate({ optional: true }))
          .use(ledger.requireScope('orders:read'))
          .use(served)
      },
      { ...(onProblem && { onProblem }), rateLimitFailuresPerMinute: 1 },
    )
    const jwt = bearer(jwtFor('acct_1'))
    const ask = async (path: string, init: RequestInit = {}) => {
      const response = await fetch(host.url + path, { redirect: 'manual', ...init })
      return { status: response.status, headers: response.headers, text: await response.text() }
    }
    const answers = {
      anonymous: await ask('/'),
      unscoped: await ask('/', { headers: jwt }),
      bad: await ask('/auth/verify', { headers: bearer('no.good.jwt') }),
      limited: await ask('/auth/verify', { headers: bearer('no.good.jwt') }),
      wrongMethod: await ask(TOKENS, { method: 'PUT', headers: jwt }),
      invalid: await ask(`${TOKENS}?limit=0`, { headers: jwt }),
    }
    await host.close()
    return { answers, host }
  }

  const STATUSES = { anonymous: 401, unscoped: 403, bad: 401, limited: 429, wrongMethod: 405, invalid: 422 }

  function assertHeaders(answers: Awaited<ReturnType<typeof answersOf>>['answers']): void {
    const statuses = Object.fromEntries(Object.entries(answers).map(([name, { status }]) => [name, status]))
    expect(statuses).to.deep.equal(STATUSES)
    expect(answers.anonymous.headers.get('www-authenticate')).to.match(/^Bearer /)
    expect(answers.unscoped.headers.get('www-authenticate')).to.contain('scope="orders:read"')
    expect(answers.limited.headers.get('retry-after')).to.match(/^\d+$/)
    expect(answers.wrongMethod.headers.get('allow')).to.contain('POST')
    for (const { headers } of Object.values(answers)) {
      expect(headers.get('x-request-id')).to.match(/^[\w-]+$/)
      expect(headers.get('cache-control')).to.equal('no-store')
    }
  }

  it('writes every refusal in its own form, under the same status and headers', async () => {
    const { answers } = await answersOf((ctx, { code, detail, errors, request_id: id }) => {
      expect(ctx.state).to.be.an('object')
      ctx.body = { error: { code, message: detail, id, errors } }
    })
    assertHeaders(answers)
    const { error } = JSON.parse(answers.invalid.text)
    expect(error.code).to.equal('validation_failed')
    expect(error.errors[0].pointer).to.equal('?limit')
    expect(error.id).to.equal(answers.invalid.headers.get('x-request-id'))
    for (const { headers } of Object.values(answers)) {
      expect(headers.get('content-type')).to.equal('application/json; charset=utf-8')
    }
  })

  it('may answer with text, later, with another status, or leave it to the ledger', async () => {
    const { answers } = await answersOf(async (ctx, { status, code }) => {
      await new Promise((resolve) => setTimeout(resolve, 5))
      if (code === 'insufficient_scope') ctx.redirect('/login')
      else if (status === 401) ctx.body = `<p>${code}</p>`
    })
    expect(answers.anonymous.headers.get('content-type')).to.equal('text/html; charset=utf-8')
    expect(answers.anonymous.text).to.equal('<p>unauthorized</p>')
    expect([answers.unscoped.status, answers.unscoped.headers.get('location')]).to.deep.equal([302, '/login'])
    expect(answers.invalid.headers.get('content-type')).to.equal('application/problem+json')
    expect(JSON.parse(answers.invalid.text).code).to.equal('validation_failed')
  })

  it('that makes the answer empty leaves it a refusal', async () => {
    const { answers } = await answersOf((ctx) => {
      ctx.body = null
    })
    assertHeaders(answers)
    expect(answers.anonymous.text).to.equal('')
  })

  it('takes the place of what was there before', async () => {
    const { answers } = await answersOf(undefined, (ctx, next) => {
      ctx.type = 'application/json'
      ctx.body = { started: true }
      return next()
    })
    assertHeaders(answers)
    const { answers: own } = await answersOf(
      () => {},
      (ctx, next) => {
        ctx.type = 'application/json'
        ctx.body = { started: true }
        return next()
      },
    )
    assertHeaders(own)
    expect(JSON.parse(own.anonymous.text).code).to.equal('unauthorized')
  })

  it('may answer without Koa, even where it fails afterwards', async () => {
    const ways: TokenLedgerOptions['onProblem'][] = [
      ({ res }) => void res.writeHead(418).end('raw'),
      (ctx) => {
        ctx.respond = false
        ctx.res.writeHead(418).end('raw')
      },
      ({ res }) => {
        res.writeHead(418).end('raw')
        throw new Error('too late')
      },
    ]
    for (const onProblem of ways) {
      const { answers, host } = await answersOf(onProblem)
      for (const { status, text } of Object.values(answers))
        expect([status, text]).to.deep.equal([418, 'raw'])
      for (const { error } of host.errors) expect(error).to.have.property('message', 'too late')
    }
  })

  it('that fails is told to the app and the log, and the refusal is sent in its usual form', async () => {
    const fails: TokenLedgerOptions['onProblem'][] = [
      (ctx) => {
        ctx.status = 200
        ctx.body = 'half'
        throw new Error('no template')
      },
      () => Promise.reject(new Error('no template')),
    ]
    for (const onProblem of fails) {
      const { answers, host } = await answersOf(onProblem)
      assertHeaders(answers)
      for (const { headers, text } of Object.values(answers)) {
        expect(headers.get('content-type')).to.equal('application/problem+json')
        expect(JSON.parse(text).type).to.match(/^urn:tokenledger:problem:/)
      }
      expect(host.errors.map(({ error }) => (error as Error).message)).to.deep.equal(
        Object.keys(STATUSES).map(() => 'no template'),
      )
      const lines = host.lines.filter(({ level }) => level === 'error')
      expect(lines).to.have.lengthOf(host.errors.length)
    }
  })
})
