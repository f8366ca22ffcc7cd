//! Who reads what whom has made.

use std::collections::HashMap;

use caffe_proto::net::{Layer, LayerKind, Net};

/// A blob at one time: the layer that made it, and which of its tops it is.
pub(crate) type Value = (usize, usize);

/// A net's layers and the values between them.
pub(crate) struct Graph<'a> {
    pub(crate) net: &'a Net,
    /// For each bottom of each layer, who made it.
    pub(crate) makers: Vec<Vec<Value>>,
    /// For each layer, who reads its tops.
    pub(crate) readers: Vec<Vec<usize>>,
}

impl<'a> Graph<'a> {
    pub(crate) fn new(net: &'a Net) -> Self {
        let mut last: HashMap<&str, Value> = HashMap::new();
        let mut makers = Vec::with_capacity(net.layers.len());
        let mut readers = vec![Vec::new(); net.layers.len()];
        for (index, layer) in net.layers.iter().enumerate() {
            // A net that was built has a maker for every bottom.
            let from: Vec<Value> =
                layer.bottoms.iter().filter_map(|bottom| last.get(bottom.as_str()).copied()).collect();
            for &(maker, _) in &from {
                readers[maker].push(index);
            }
            makers.push(from);
            for (place, top) in layer.tops.iter().enumerate() {
                last.insert(top, (index, place));
            }
        }
        Self { net, makers, readers }
    }

    pub(crate) fn layer(&self, index: usize) -> &'a Layer {
        &self.net.layers[index]
    }

    /// The name of a value's blob.
    pub(crate) fn blob(&self, (layer, top): Value) -> &'a str {
        self.net.layers[layer].tops.get(top).map_or("", String::as_str)
    }

    /// The layers from which a way leads to one of `values`, their makers included.
    pub(crate) fn behind(&self, values: &[Value]) -> Vec<bool> {
        let mut behind = vec![false; self.net.layers.len()];
        for &(maker, _) in values {
            behind[maker] = true;
        }
        for index in (0..behind.len()).rev() {
            if behind[index] {
                self.makers[index].iter().for_each(|&(maker, _)| behind[maker] = true);
            }
        }
        behind
    }

    /// The layers to which a way leads from `layer`, itself left out.
    pub(crate) fn ahead(&self, layer: usize) -> Vec<bool> {
        let mut ahead = vec![false; self.net.layers.len()];
        for index in layer..ahead.len() {
            if index == layer || ahead[index] {
                self.readers[index].iter().for_each(|&reader| ahead[reader] = true);
            }
        }
        ahead
    }

    /// Whether a value comes from outside the net.
    pub(crate) fn is_given(&self, (layer, _): Value) -> bool {
        self.net.layers[layer].is_given()
    }

    /// The layers that could make a value's number of channels another: the nearest products behind it. Layers in between
    /// that have parameters of their own come with them.
    pub(crate) fn heads(&self, (maker, _): Value) -> Heads {
        let mut heads = Heads::default();
        let mut seen = vec![false; self.net.layers.len()];
        let mut open = vec![maker];
        while let Some(index) = open.pop() {
            if std::mem::replace(&mut seen[index], true) {
                continue;
            }
            let layer = &self.net.layers[index];
            match layer.kind {
                LayerKind::InnerProduct(_) | LayerKind::Convolution(_) => heads.products.push(index),
                _ => {
                    if !layer.params.is_empty() {
                        heads.between.push(index);
                    }
                    open.extend(self.makers[index].iter().map(|&(maker, _)| maker));
                }
            }
        }
        heads.products.sort_unstable();
        heads
    }
}

/// What makes a value's channels.
#[derive(Default)]
pub(crate) struct Heads {
    /// InnerProduct and Convolution layers.
    pub(crate) products: Vec<usize>,
    /// Layers with parameters between these and the value.
    pub(crate) between: Vec<usize>,
}
