/** In the browser this file is lit-html itself: the build copies it here. */
export * from 'lit-html'
