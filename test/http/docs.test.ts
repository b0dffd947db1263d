import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import { type Api, bearer, callerOf, tokenHeader } from '../support/callers/caller.ts'
import { startLedger, type TestService } from '../support/processes/ledger.ts'
import { projectRoot } from '../support/project/package.ts'
import { sendRaw } from '../support/callers/raw.ts'

const ASSETS = {
  'start.js': 'text/javascript; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
  'swagger-ui.css': 'text/css; charset=utf-8',
}

describe('The page at /docs', () => {
  let service: TestService
  let anyone: Api
  before(async () => {
    service = await startLedger()
    anyone = callerOf(service.url)
  })
  after(() => service.close())

  it('is open to everybody, whatever credential they send', async () => {
    for (const path of ['/docs', '/docs/start.js']) {
      expect((await anyone.get(path)).status, path).to.equal(200)
      expect((await anyone.get(path, { ...tokenHeader('bad'), ...bearer('bad') })).status, path).to.equal(200)
    }
    const { headers, text } = await anyone.get('/docs')
    expect(headers.get('content-type')).to.equal('text/html; charset=utf-8')
    expect(text).to.match(/^<!doctype html>/)
  })

  it('has its files, by their types, and the length of each', async () => {
    for (const [name, type] of Object.entries(ASSETS)) {
      const { status, headers, text } = await anyone.get(`/docs/${name}`)
      expect(status, name).to.equal(200)
      expect(headers.get('content-type'), name).to.equal(type)
      expect(Number(headers.get('content-length')), name)
        .to.equal(Buffer.byteLength(text))
        .and.be.above(0)
      expect(text, name).not.to.include('sourceMappingURL')
    }
  })

  it('answers HEAD like GET, without a body', async () => {
    for (const path of ['/docs', ...Object.keys(ASSETS).map((name) => `/docs/${name}`)]) {
      const got = await anyone.get(path)
      const head = await anyone.send('HEAD', path)
      expect(head.status, path).to.equal(200)
      expect(head.text, path).to.equal('')
      for (const name of ['content-type', 'content-length', 'content-security-policy']) {
        expect(head.headers.get(name), `${path} ${name}`).to.equal(got.headers.get(name)).and.be.a('string')
      }
    }
  })

  it('lets nothing run in it but its own files, and nobody frame it', async () => {
    for (const path of ['/docs', '/docs/', ...Object.keys(ASSETS).map((name) => `/docs/${name}`)]) {
      const { headers } = await fetch(service.url + path)
      const policy = Object.fromEntries(
        (headers.get('content-security-policy') ?? '').split('; ').map((rule) => rule.split(/ (.*)/, 2)),
      )
      expect(policy, path).to.deep.equal({
        'default-src': "'none'",
        'script-src': "'self'",
        'style-src': "'self'",
        'img-src': "'self' data:",
        'connect-src': "'self'",
        'base-uri': "'none'",
        'form-action': "'none'",
        'frame-ancestors': "'none'",
      })
      expect(headers.get('x-content-type-options'), path).to.equal('nosniff')
      expect(headers.get('x-frame-options'), path).to.equal('DENY')
      expect(headers.get('referrer-policy'), path).to.equal('no-referrer')
      expect(headers.get('cross-origin-opener-policy'), path).to.equal('same-origin')
      expect(headers.get('cross-origin-resource-policy'), path).to.equal('same-origin')
      expect(headers.get('cache-control'), path).to.equal('no-store')
    }
  })

  it('holds nothing that its own policy refuses', async () => {
    const { text } = await anyone.get('/docs')
    expect(text).not.to.match(/<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|javascript:|https?:/i)
  })

  for (const page of ['/docs', '/docs/', '/behind/a/prefix/docs', '/behind/a/prefix/docs/']) {
    it(`asks for nothing that is not there, as ${page}`, async () => {
      const prefix = page.replace(/\/docs\/?$/, '')
      const text = await (await fetch(service.url + page.slice(prefix.length))).text()
      const asked = [...text.matchAll(/\s(?:src|href)="([^"]+)"/g)].map(
        ([, link = '']) => new URL(link, service.url + page),
      )
      const own = asked.filter(({ protocol }) => protocol !== 'data:').map(({ href }) => href)
      const at = `${service.url}${prefix}/`
      const files = Object.keys(ASSETS).map((name) => `${at}docs/${name}`)
      expect(own).to.have.members([...files, `${at}openapi.json`])
      // A proxy removes the prefix.
      for (const href of own) expect((await fetch(href.replace(at, `${service.url}/`))).status).to.equal(200)
    })
  }

  it('shows the description beside it, keeps no credential and asks nobody else', async () => {
    const { text } = await anyone.get('/docs/start.js')
    const shown: Record<string, unknown>[] = []
    runInNewContext(text, {
      URL,
      document: { currentScript: { src: 'https://host.example/prefix/docs/start.js' } },
      SwaggerUIBundle: (options: Record<string, unknown>) => shown.push(options),
    })
    expect(shown).to.deep.equal([
      {
        url: 'https://host.example/prefix/openapi.json',
        dom_id: '#viewer',
        persistAuthorization: false,
        queryConfigEnabled: false,
        validatorUrl: null,
      },
    ])
    expect((await anyone.get('/docs')).text).to.include('id="viewer"')
  })

  it('sends requests, and the credentials in them, to where the description came from', async () => {
    const response = await fetch(`${service.url}/openapi.json`)
    const { servers } = (await response.json()) as { servers: { url: string }[] }
    const [server] = servers.map(({ url }) => new URL(url, 'https://host.example/prefix/openapi.json').href)
    expect(server).to.equal('https://host.example/prefix/')
  })

  it('has no other files: 404, the licences beside them included', async () => {
    const there = await readdir(join(projectRoot, 'dist', 'viewer'))
    expect(there).to.include.members(['LICENSE', 'NOTICE', 'swagger-ui-bundle.js.LICENSE.txt'])
    const others = there.filter((name) => !(name in ASSETS))
    for (const name of [
      ...others,
      'index.html',
      'START.JS',
      'constructor',
      '__proto__',
      'start.js%00',
      '%',
    ]) {
      const { status, body, headers } = await anyone.get(`/docs/${name}`)
      expect(status, name).to.equal(404)
      expect(body.code, name).to.equal('not_found')
      expect(headers.get('content-type'), name).to.match(/^application\/problem\+json/)
    }
  })

  it('leads to no file elsewhere, however the way is written', async () => {
    for (const target of [
      '/docs/../package.json',
      '/docs/../../package.json',
      '/docs/..%2f..%2fpackage.json',
      '/docs/%2e%2e/%2e%2e/package.json',
      '/docs/%2e%2e%2f%2e%2e%2fpackage.json',
      '/docs/..%5c..%5cpackage.json',
      '/docs/..\\..\\package.json',
      '/docs/%252e%252e%252fpackage.json',
      '/docs//etc/passwd',
      '/docs/%2fetc%2fpasswd',
      '/docs/start.js/../../package.json',
      '/docs/./start.js',
      '/docs/file:%2f%2f%2fetc%2fpasswd',
    ]) {
      const { status, headers, text } = await sendRaw(service.url, 'GET', target, [])
      expect(status, target).to.equal(404)
      expect(headers.get('content-type'), target).to.match(/^application\/problem\+json/)
      expect(JSON.parse(text).code, target).to.equal('not_found')
    }
  })

  it('is there to be read only: 405', async () => {
    for (const path of ['/docs', '/docs/start.js']) {
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
        const { status, headers, body } = await anyone.send(method, path)
        expect(status, `${method} ${path}`).to.equal(405)
        expect(headers.get('allow'), `${method} ${path}`).to.equal('HEAD, GET')
        expect(body.code, `${method} ${path}`).to.equal('method_not_allowed')
      }
    }
  })
})
