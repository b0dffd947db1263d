import type { Middleware } from 'koa'

/** Leads whoever comes to `/` to the page. The way is relative, since a proxy may have removed a prefix. */
export const leadTo =
  (path: string): Middleware =>
  (ctx, next) => {
    if (ctx.path !== '/' || !['GET', 'HEAD'].includes(ctx.method)) return next()
    ctx.status = 302
    ctx.set('Location', path.slice(1))
    ctx.set('Cache-Control', 'no-store')
    ctx.body = null
    ctx.status = 302
  }
